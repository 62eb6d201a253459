"""What the same work costs in LangGraph, beside `cargo bench --bench engagements`, in one run.

    pip install 'langgraph==1.2.*' langgraph-checkpoint-sqlite
    python3 benches/beside_langgraph.py [ROUNDS]

The graph has three nodes (requirements, design, build), stops twice for a person (`interrupt`) and keeps its state with the
SQLite checkpointer, in write-ahead mode with `synchronous=FULL`, as the ledger does. The build node makes one tool call and
is entered again for the next one, so that what came of a call is stored before the next begins. Its tools are functions of the
same process; those of Countersign are another process behind MCP. Nothing is decided, signed or chained in it.

Prints one JSON object: for each number of calls the milliseconds and kilobytes of both, medians over the rounds that take
turns, and how many times faster and smaller Countersign is (below 1: slower, larger).
"""

import json
import operator
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

# Calls of one engagement, and how many engagements are measured.
SIZES = [(6, 50), (100, 10)]
# About as long as the artifacts that a person is shown.
SPEC, DESIGN = "s" * 600, "d" * 900


class State(TypedDict):
    spec: str
    design: str
    results: Annotated[list, operator.add]


def graph(calls, saver):
    def requirements(_):
        interrupt({"gate": 1, "spec": SPEC})
        return {"spec": SPEC}

    def design(_):
        interrupt({"gate": 2, "design": DESIGN})
        return {"design": DESIGN}

    def build(state):
        return {"results": [{"thing": len(state["results"])}]}

    built = StateGraph(State)
    for name, node in [("requirements", requirements), ("designing", design), ("build", build)]:
        built.add_node(name, node)
    built.add_edge(START, "requirements")
    built.add_edge("requirements", "designing")
    built.add_edge("designing", "build")
    built.add_conditional_edges("build", lambda state: "build" if len(state["results"]) < calls else END)
    return built.compile(checkpointer=saver)


def langgraph(calls, engagements):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "checkpoints.sqlite")
        connection = sqlite3.connect(path, check_same_thread=False)
        saver = SqliteSaver(connection)
        saver.setup()
        connection.execute("PRAGMA synchronous=FULL")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        app = graph(calls, saver)

        def whole(name):
            of = {"configurable": {"thread_id": name}, "recursion_limit": calls + 50}
            app.invoke({"results": []}, of)
            app.invoke(Command(resume="yes"), of)
            done = app.invoke(Command(resume="yes"), of)
            assert len(done["results"]) == calls and done["spec"] == SPEC and done["design"] == DESIGN

        def size():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return path.stat().st_size

        whole("warm")
        before, begun = size(), time.perf_counter()
        for number in range(engagements):
            whole(str(number))
        took = time.perf_counter() - begun
        return took * 1000 / engagements, (size() - before) / engagements / 1000


def countersign(calls, engagements):
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "engagements", "--"]
    command += ["--engagements", str(engagements), "--calls", str(calls)]
    here = pathlib.Path(__file__).resolve().parent.parent
    said = subprocess.run(command, cwd=here, check=True, capture_output=True, text=True).stdout
    found = json.loads(said)
    return found["ms_per_engagement"], found["bytes_per_engagement"] / 1000


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    countersign(6, 3)  # Built before the clock starts.
    told = []
    for calls, engagements in SIZES:
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.append(langgraph(calls, engagements))
            ours.append(countersign(calls, engagements))
        (their_ms, their_kb), (our_ms, our_kb) = (
            [statistics.median(column) for column in zip(*some)] for some in (theirs, ours)
        )
        told.append(
            {
                "calls": calls,
                "langgraph": {"ms": round(their_ms, 2), "kb": round(their_kb, 1)},
                "countersign": {"ms": round(our_ms, 2), "kb": round(our_kb, 1)},
                "times_faster": round(their_ms / our_ms, 2),
                "times_smaller": round(their_kb / our_kb, 2),
            }
        )
    print(json.dumps({"rounds": rounds, "one_at_a_time": told}))


if __name__ == "__main__":
    main()
