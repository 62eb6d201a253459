//! `countersign lab`: the simulated lab.

use std::path::Path;

use serde_json::json;

use crate::lab;

use super::{
    args::{Global, Lab, LabCommand},
    context::Context,
    output::{CliError, Code, say, say_json},
};

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
            say("The simulated network is as it was at first.");
        }
        LabCommand::Fault { fault, clear } => {
            if clear {
                lab::clear_faults(&file)?;
            }
            for text in fault {
                lab::set_fault(&file, text.parse()?)?;
            }
            let faults = lab::faults(&file)?;
            say(format!("{} faults are on in the simulated lab", faults.len()));
            for fault in faults {
                say(format!("  {fault}"));
            }
        }
    }
    Ok(Code::Done)
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
