//! `countersign lab`: the simulated lab.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::lab;

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    output::{say, say_json},
};

/// `lab`
#[derive(Debug, Args)]
pub struct Lab {
    /// What to do.
    #[command(subcommand)]
    pub command: LabCommand,
    /// The lab's file; the workspace's own where left out.
    #[arg(long, value_name = "FILE", global = true)]
    pub state: Option<PathBuf>,
}

/// The `lab` commands.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Serve the lab over MCP on standard input and output.
    #[command(after_help = "Example, in tools/lab.yaml: server: {command: ['{countersign}', lab, serve]}")]
    Serve,
    /// Show the simulated network and its faults.
    #[command(after_help = "Example: countersign lab show")]
    Show,
    /// Put the simulated network back as it was at first.
    #[command(after_help = "Example: countersign lab reset")]
    Reset,
    /// Make the lab misbehave.
    #[command(after_help = faults_help())]
    Fault {
        /// Such as `lie:vlan.create@sw03,times=1`.
        #[arg(required_unless_present = "clear")]
        fault: Vec<String>,
        /// Switch all faults off.
        #[arg(long)]
        clear: bool,
    },
}

/// Runs the command.
pub async fn run(global: &Global, args: Lab) -> Result<Code, CliError> {
    let file = match args.state {
        Some(file) => file,
        None => Context::open(global).await?.workspace.lab_file(),
    };
    match args.command {
        LabCommand::Serve => lab::serve(&file).await?,
        LabCommand::Show => show(global, &file)?,
        LabCommand::Reset => {
            lab::reset(&file)?;
            if global.json {
                say_json(&json!({"simulated": true, "reset": true}))?;
            } else {
                say("The simulated network is as it was at first.");
            }
        }
        LabCommand::Fault { fault, clear } => {
            if clear {
                lab::clear_faults(&file)?;
            }
            let mut new = Vec::new();
            for text in fault {
                new.push(known(&file, text.parse()?)?);
            }
            for fault in new {
                lab::set_fault(&file, fault)?;
            }
            let faults = lab::faults(&file)?;
            if global.json {
                say_json(&json!({"simulated": true, "faults": faults}))?;
                return Ok(Code::Done);
            }
            say(match faults.len() {
                0 => "No faults are on in the simulated lab".to_owned(),
                1 => "1 fault is on in the simulated lab".to_owned(),
                n => format!("{n} faults are on in the simulated lab"),
            });
            for fault in faults {
                say(format!("  {fault}"));
            }
        }
    }
    Ok(Code::Done)
}

/// The fault, if its target is in the simulated network: one that is not would never fire.
fn known(file: &Path, fault: lab::Fault) -> Result<lab::Fault, CliError> {
    let network = lab::load(file)?;
    let names = network.switches.keys().map(ToString::to_string);
    let names = names.chain(network.zones.keys().map(ToString::to_string));
    let names: Vec<String> = names.chain(network.prefixes.keys().map(ToString::to_string)).collect();
    match fault.target() {
        Some(target) if !names.iter().any(|name| name == target) => {
            Err(CliError::usage(format!("`{target}` is not in the simulated network; it has {}", names.join(", "))))
        }
        _ => Ok(fault),
    }
}

fn show(global: &Global, file: &Path) -> Result<(), CliError> {
    let network = lab::load(file)?;
    let faults = lab::faults(file)?;
    if global.json {
        return say_json(&json!({"simulated": true, "network": network, "faults": faults}));
    }
    say("The simulated network:");
    for (name, switch) in &network.switches {
        let vlans = switch.vlans.iter().map(|(id, name)| format!("{id} {name}")).collect::<Vec<_>>().join(", ");
        say(format!("  {name}  VLANs {vlans}"));
        let ports = switch.ports.iter().map(|(port, of)| format!("{port}:{}", of.vlan)).collect::<Vec<_>>().join(" ");
        say(format!("        ports {ports}"));
    }
    for (zone, records) in &network.zones {
        say(format!("  zone {zone}"));
        for record in records {
            say(format!("        {} A {} (TTL {} s)", record.name, record.address, record.ttl));
        }
    }
    for (prefix, addresses) in &network.prefixes {
        let taken = addresses.iter().map(|(address, name)| format!("{address} {name}")).collect::<Vec<_>>().join(", ");
        say(format!("  prefix {prefix}: {taken}"));
    }
    for fault in faults {
        say(format!("  fault {fault}"));
    }
    Ok(())
}

fn faults_help() -> String {
    let rows = lab::FAULTS.iter().map(|(kind, about)| format!("  {kind:<13} {about}"));
    let example = "Examples:\n  countersign lab fault 'lie:vlan.create@sw03,times=1'\n  countersign lab fault --clear";
    format!("KIND:TOOL[@TARGET][,times=N][,ms=N]\n\nKinds:\n{}\n\n{example}", rows.collect::<Vec<_>>().join("\n"))
}
