//! Faults: how the simulated network misbehaves when someone asks it to, written as
//! `KIND:TOOL[@TARGET][,times=N][,ms=N]`. Pure: this module reads and writes that form, checks that the kind makes
//! sense for the tool, and says whether a fault is meant for a call. What a fault does is in `state`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    LabError,
    tool::{TOOLS, Tool},
};

/// The kinds of faults, each with one line that says what it does.
pub const FAULTS: &[(&str, &str)] = &[
    ("lie", "a write answers success and changes nothing"),
    (
        "half",
        "a write answers success and does part of it: a name cut to half, ttl 60, a port description only; a delete or release lies",
    ),
    ("vanish", "a write is applied, shows in the next read of its target, and is gone after that"),
    ("error", "the tool answers an error and changes nothing"),
    ("error-after", "the change is applied, then the tool answers an error"),
    ("crash-before", "the server exits with code 70 before it applies or answers anything"),
    ("crash-after", "the change is applied, then the server exits with code 70 without an answer"),
    ("slow", "waits 2 seconds, or ms=N, before applying; comes on top of another fault"),
    ("inject", "a read carries a banner with instructions that nobody should follow"),
    ("redescribe", "tools/list shows another description of the tool"),
];

/// What goes wrong. The order is that of [`FAULTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Lie,
    Half,
    Vanish,
    Error,
    ErrorAfter,
    CrashBefore,
    CrashAfter,
    Slow,
    Inject,
    Redescribe,
}

const KINDS: [FaultKind; 10] = [
    FaultKind::Lie,
    FaultKind::Half,
    FaultKind::Vanish,
    FaultKind::Error,
    FaultKind::ErrorAfter,
    FaultKind::CrashBefore,
    FaultKind::CrashAfter,
    FaultKind::Slow,
    FaultKind::Inject,
    FaultKind::Redescribe,
];

/// One fault: what goes wrong, for which tool, optionally for one switch, zone or prefix only, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fault {
    pub(super) kind: FaultKind,
    tool: String,
    target: Option<String>,
    times: Option<u32>,
    wait: Option<u32>,
}

impl Fault {
    /// Whether this fault is for calls of `tool` about `target`.
    pub(super) fn is_for(&self, tool: &str, target: &str) -> bool {
        self.tool == tool && self.target.as_deref().is_none_or(|only| only == target)
    }

    /// The only target that it is for, if it is not for all.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The tool that misbehaves.
    pub(super) fn tool(&self) -> &str {
        &self.tool
    }

    /// Whether setting this fault replaces `other`.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        (self.kind, &self.tool, &self.target) == (other.kind, &other.tool, &other.target)
    }

    /// How long a slow call waits.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_millis(self.wait.unwrap_or(2000).into())
    }

    /// Counts one firing; the answer is whether the fault is used up.
    pub(super) fn fire(&mut self) -> bool {
        match &mut self.times {
            Some(times) => {
                *times = times.saturating_sub(1);
                *times == 0
            }
            None => false,
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let what = parts.next().unwrap_or_default();
        let (kind, place) =
            what.split_once(':').ok_or("write KIND:TOOL, for example `lie:vlan.create@sw03,times=1`")?;
        let kind = FaultKind::named(kind)?;
        let (tool, target) = match place.split_once('@') {
            Some((tool, target)) => (tool, Some(target)),
            None => (place, None),
        };
        let tool = Tool::named(tool).ok_or_else(|| {
            let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
            format!("no tool `{tool}`; known: {}", names.join(", "))
        })?;
        if target == Some("") {
            return Err("name a switch, zone or prefix after `@`, or leave the `@` out".into());
        }
        kind.fits(tool, target)?;
        let mut fault =
            Self { kind, tool: tool.name.to_owned(), target: target.map(str::to_owned), times: None, wait: None };
        for part in parts {
            fault.option(part)?;
        }
        Ok(fault)
    }

    fn option(&mut self, part: &str) -> Result<(), String> {
        let (name, number) = part.split_once('=').ok_or_else(|| format!("`{part}` is not `times=N` or `ms=N`"))?;
        let number: u32 = number.parse().map_err(|_| format!("`{number}` in `{part}` is not a number"))?;
        let slot = match name {
            "times" if number == 0 => return Err("times starts at 1".into()),
            "times" => &mut self.times,
            "ms" if self.kind == FaultKind::Slow => &mut self.wait,
            "ms" => return Err("only `slow` takes ms".into()),
            _ => return Err(format!("no option `{name}`; known: times, ms")),
        };
        match slot.replace(number) {
            None => Ok(()),
            Some(_) => Err(format!("{name} is given twice")),
        }
    }
}

impl FaultKind {
    fn named(name: &str) -> Result<Self, String> {
        let mut kinds = FAULTS.iter().zip(KINDS);
        match kinds.find(|((known, _), _)| *known == name) {
            Some((_, kind)) => Ok(kind),
            None => {
                let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
                Err(format!("no kind `{name}`; known: {}", names.join(", ")))
            }
        }
    }

    fn name(self) -> &'static str {
        let mut kinds = KINDS.iter().zip(FAULTS);
        kinds.find(|(kind, _)| **kind == self).map_or("", |(_, (name, _))| name)
    }

    fn fits(self, tool: &Tool, target: Option<&str>) -> Result<(), String> {
        let name = tool.name;
        match self {
            Self::Lie | Self::Half | Self::Vanish if !tool.writes() => {
                Err(format!("`{}` needs a tool that writes, {name} only reads", self.name()))
            }
            Self::Inject if tool.writes() => Err(format!("`inject` needs a tool that reads, {name} writes")),
            Self::Redescribe if target.is_some() => {
                Err("`redescribe` takes no target: a description is the same for all".into())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.tool)?;
        if let Some(target) = &self.target {
            write!(f, "@{target}")?;
        }
        if let Some(times) = self.times {
            write!(f, ",times={times}")?;
        }
        if let Some(wait) = self.wait {
            write!(f, ",ms={wait}")?;
        }
        Ok(())
    }
}

impl FromStr for Fault {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        Self::read(text).map_err(|reason| LabError::Fault { text: text.to_owned(), reason })
    }
}

impl TryFrom<String> for Fault {
    type Error = LabError;

    fn try_from(text: String) -> Result<Self, LabError> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_as_it_was_written() {
        for (name, _) in FAULTS {
            let tool = if *name == "inject" { "vlan.list" } else { "vlan.create" };
            let text = format!("{name}:{tool}");
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in [
            "lie:vlan.create@sw03,times=1",
            "slow:ipam.addresses.list@192.0.2.0/24,times=3,ms=50",
            "error-after:dns.record.create@corp.example.com",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_fault_says_what_is_wrong() {
        let cases = [
            ("", "write KIND:TOOL"),
            ("lie", "write KIND:TOOL"),
            ("fib:vlan.create", "no kind `fib`; known: lie, half,"),
            ("lie:vlan.drop", "no tool `vlan.drop`; known: vlan.list,"),
            ("lie:vlan.list", "`lie` needs a tool that writes, vlan.list only reads"),
            ("inject:vlan.create", "`inject` needs a tool that reads, vlan.create writes"),
            ("redescribe:vlan.list@sw01", "`redescribe` takes no target"),
            ("lie:vlan.create@", "name a switch, zone or prefix after `@`"),
            ("lie:vlan.create,times=0", "times starts at 1"),
            ("lie:vlan.create,times=x", "`x` in `times=x` is not a number"),
            ("lie:vlan.create,times=1,times=2", "times is given twice"),
            ("lie:vlan.create,ms=5", "only `slow` takes ms"),
            ("lie:vlan.create,once", "`once` is not `times=N` or `ms=N`"),
            ("lie:vlan.create,often=2", "no option `often`; known: times, ms"),
        ];
        for (text, reason) in cases {
            let message = text.parse::<Fault>().unwrap_err().to_string();
            let start = format!("`{text}` is not a fault: {reason}");
            assert!(message.starts_with(&start), "{message}");
        }
    }

    #[test]
    fn a_fault_is_for_its_tool_and_target_only() {
        let everywhere: Fault = "lie:vlan.create".parse().unwrap();
        let one: Fault = "lie:vlan.create@sw03".parse().unwrap();
        assert!(everywhere.is_for("vlan.create", "sw01") && one.is_for("vlan.create", "sw03"));
        assert!(!everywhere.is_for("vlan.rename", "sw01") && !one.is_for("vlan.create", "sw01"));
    }
}
