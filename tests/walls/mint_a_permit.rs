use countersign::{artifact::CallId, broker::permit::Permit};
use serde_json::Map;

fn main() {
    let permit = Permit::mint("k7m2q".parse().unwrap(), CallId::nth(1), "vlan.create".parse().unwrap(), Map::new());
    let _ = permit.clone();
}
