//! Where a name is not enough: why an answer needs the signature of the person who gives it, and saying so.

use std::collections::BTreeSet;

use crate::{
    engagement::{About, Standing},
    facts::{Facts, STAGES},
    policy::Catalog,
};

use super::{ApprovalRequest, text::quoted};

/// Why an answer needs a signature; nothing where a name is enough.
pub(super) fn because(catalog: &Catalog, reach: &Facts, standing: &Standing, barred: &BTreeSet<String>) -> Vec<String> {
    let mut said = Vec::new();
    let signs = |environment: &&String| catalog.people.signs_in(environment);
    let reached: BTreeSet<&String> = reach.environments.iter().filter(signs).collect();
    said.extend(reached.iter().map(|environment| format!("it reaches {}", quoted(environment))));
    if reach.unlisted_targets {
        let anywhere: BTreeSet<&String> = catalog.inventory.targets.iter().map(|target| &target.environment).collect();
        let may = anywhere.into_iter().filter(signs).filter(|environment| !reached.contains(environment));
        said.extend(may.map(|environment| format!("it may reach {}", quoted(environment))));
    }
    if standing.stage > *STAGES.start() {
        said.push(format!("the trust stage is {}", standing.stage));
    }
    if said.is_empty() && !barred.is_empty() {
        said.push("nobody approves their own work here".into());
    }
    said
}

/// Says on the screen that a signature is needed.
pub(super) fn say(request: &mut ApprovalRequest) {
    if request.signature_because.is_empty() {
        return;
    }
    let what = match request.about {
        About::Failure { .. } | About::Unknown { .. } => "An answer",
        About::Gate1 | About::Gate2 | About::Call { .. } | About::Deviation { .. } => "A yes",
    };
    let why = request.signature_because.join(", and ");
    request.screen.footer += &format!(" {what} needs the signature of whoever gives it (`--key`), because {why}.");
}
