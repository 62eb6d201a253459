//! The tools' side of the pipe: a server that answers at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io::{BufRead, Write},
    path::PathBuf,
};

use countersign::broker::{Bounds, become_server};
use serde_json::{Value, json};

/// `sandbox --with=… --read=… --write=… -- COMMAND`, as `countersign sandbox` is called.
pub fn confine(words: &[OsString]) {
    let mut bounds = Bounds { starter: 0, unconfined: false, read: Vec::new(), write: Vec::new() };
    let mut words = words.iter();
    for word in words.by_ref() {
        let word = word.to_str().expect("paths are text");
        match word.split_once('=') {
            Some(("--with", starter)) => bounds.starter = starter.parse().unwrap(),
            Some(("--read", path)) => bounds.read.push(PathBuf::from(path)),
            Some(("--write", path)) => bounds.write.push(PathBuf::from(path)),
            _ if word == "--unconfined" => bounds.unconfined = true,
            _ => break,
        }
    }
    let command: Vec<OsString> = words.cloned().collect();
    panic!("{}", become_server(&bounds, &command));
}

/// The tool server: MCP on standard input and output, one message a line.
pub fn serve() {
    let mut things: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some(id) = message.get("id") else { continue };
        let tool = |name: &str, wanted: &[&str]| {
            let of =
                |name: &&str| ((*name).to_owned(), json!({"type": if *name == "n" { "integer" } else { "string" }}));
            let properties: serde_json::Map<String, Value> = wanted.iter().map(of).collect();
            json!({"name": name, "inputSchema": {"type": "object", "properties": properties, "required": wanted}})
        };
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "bench", "version": "1"},
            }),
            Some("tools/list") => {
                let of_one = ["thing.add", "thing.put", "thing.look"].map(|name| tool(name, &["switch", "name", "n"]));
                let tools = [&[tool("thing.list", &["switch", "name"])], &of_one[..]].concat();
                json!({"tools": tools})
            }
            Some("tools/call") => {
                let params = &message["params"];
                let name = params["arguments"]["name"].as_str().unwrap().to_owned();
                let (of_name, n) = (things.entry(name).or_default(), params["arguments"]["n"].as_u64());
                let value = match (params["name"].as_str().unwrap(), n) {
                    ("thing.add" | "thing.put", Some(n)) => {
                        of_name.insert(n);
                        json!({"added": n})
                    }
                    ("thing.look", Some(n)) => json!({"thing": of_name.get(&n)}),
                    _ => json!({"things": of_name}),
                };
                json!({"content": [{"type": "text", "text": value.to_string()}], "structuredContent": value})
            }
            Some("ping") => json!({}),
            _ => {
                let error = json!({"code": -32601, "message": "there is no such method"});
                writeln!(out, "{}", json!({"jsonrpc": "2.0", "id": id, "error": error})).unwrap();
                continue;
            }
        };
        writeln!(out, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result})).unwrap();
    }
}
