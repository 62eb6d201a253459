//! What no tool server may touch, whatever its manifest says: the ledger, the policies, the manifests and pins, and a
//! person's keys.

use std::path::{Path, PathBuf};

/// The folder under `.countersign/` where a server may keep files of its own.
pub const SERVERS: &str = ".countersign/servers";

/// Places of a workspace that nobody but this program reads.
const UNREAD: [&str; 2] = [".countersign", "policies"];
/// Places of a workspace that a server may be shown and may not change.
const UNCHANGED: [&str; 4] = ["tools", "prompts", "countersign.toml", ".git"];
/// Places of a home folder that hold keys.
const KEYS: [&str; 2] = [".ssh", ".gnupg"];

/// What no tool server may touch. Paths are compared as they are written: whoever asks resolves links first.
#[derive(Clone, Debug)]
pub struct Kept {
    servers: PathBuf,
    unread: Vec<PathBuf>,
    unchanged: Vec<PathBuf>,
}

impl Kept {
    /// What is kept from servers in the workspace at `root`, for a person whose home is `home`.
    pub fn of(root: &Path, home: Option<&Path>) -> Self {
        let keys = home.into_iter().flat_map(|home| KEYS.iter().map(|name| home.join(name)));
        Self {
            servers: root.join(SERVERS),
            unread: UNREAD.iter().map(|name| root.join(name)).chain(keys).collect(),
            unchanged: UNCHANGED.iter().map(|name| root.join(name)).collect(),
        }
    }

    /// The same with each place where links lead as well.
    pub fn resolved(mut self, resolve: impl Fn(&Path) -> Option<PathBuf>) -> Self {
        for places in [&mut self.unread, &mut self.unchanged] {
            let led: Vec<PathBuf> = places.iter().filter_map(|place| resolve(place)).collect();
            places.extend(led);
        }
        self
    }

    /// The place that leave for `path` would give away, if there is one: it lies in that place or holds it.
    pub fn given_away(&self, path: &Path, write: bool) -> Option<&Path> {
        if path.starts_with(&self.servers) && path != self.servers {
            return None;
        }
        let unchanged = self.unchanged.iter().filter(|_| write);
        let mut places = self.unread.iter().chain(unchanged);
        places.find(|place| path.starts_with(place) || place.starts_with(path)).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leave_for_a_place_is_leave_for_what_it_holds() {
        let kept = Kept::of(Path::new("/srv/net"), Some(Path::new("/home/ada")));
        for (path, read, write) in [
            ("/srv/net/.countersign/ledger.db", false, false),
            ("/srv/net/.countersign", false, false),
            ("/srv/net/.countersign/servers", false, false),
            ("/srv/net/.countersign/servers/lab", true, true),
            ("/srv/net/policies/people.yaml", false, false),
            ("/srv/net", false, false),
            ("/srv", false, false),
            ("/", false, false),
            ("/home/ada", false, false),
            ("/home/ada/.ssh/id_ed25519", false, false),
            ("/srv/net/tools/server.py", true, false),
            ("/srv/net/.git/hooks", true, false),
            ("/srv/net/data", true, true),
            ("/srv/net-other", true, true),
            ("/home/ada/.pyenv", true, true),
        ] {
            let may = |write| kept.given_away(Path::new(path), write).is_none();
            assert_eq!((may(false), may(true)), (read, write), "{path}");
        }
    }
}
