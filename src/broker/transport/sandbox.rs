//! Holds a server to what it may touch. The program starts itself once more with [`become_server`], which restricts
//! itself with Landlock, has itself ended with its starter, and becomes the server: what is forbidden to it stays
//! forbidden to whatever it starts.
//!
//! Everything is forbidden that is not listed: the system's programs and libraries and the few settings that a
//! program needs to reach a network, the command's own files, and what the manifest declares. It may not send signals
//! to anything outside (Linux 6.12) nor use sockets of other programs that lie among the files (Linux 7.1; before
//! that, a socket whose path it can guess is kept from it only by the rights of its folder). Networks are not
//! restricted: reaching devices is what it is for.
#![allow(clippy::disallowed_methods, reason = "this file owns becoming the server")]

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use super::life::end_with;

/// What every server may read and start, where it is there.
pub(super) const SYSTEM: [&str; 9] =
    ["/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/nix/store", "/etc/alternatives"];

/// What every server may read, where it is there: names, certificates, time zones, libraries, and about itself.
const SETTINGS: [&str; 26] = [
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/sys/devices/system/cpu",
];

/// Devices that hold nothing.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The rights of the newest kernel; an older one holds a server to those that it knows.
const KNOWN: ABI = ABI::V9;

/// Whether this kernel can hold a server to anything.
pub(super) fn supported() -> bool {
    rules().is_ok()
}

fn rules() -> Result<landlock::RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()
}

/// What a server may touch, and whose end is its own.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The process that it ends with, which has started this one.
    pub starter: u32,
    /// Whether it may touch everything, where the kernel can hold it to nothing.
    pub unconfined: bool,
    /// What it may read and start.
    pub read: Vec<PathBuf>,
    /// What it may change as well.
    pub write: Vec<PathBuf>,
}

/// Restricts this process to these bounds for good, and becomes the command. Comes back only to say why it could not.
pub fn become_server(bounds: &Bounds, command: &[OsString]) -> String {
    let Some((program, args)) = command.split_first() else { return "there is no command to run".into() };
    let confined = if bounds.unconfined { Ok(()) } else { confine(&bounds.read, &bounds.write) };
    if let Err(why) = confined.and_then(|()| end_with(bounds.starter)) {
        return why;
    }
    let failed = std::process::Command::new(program).args(args).exec();
    format!("{} could not be started: {failed}", Path::new(program).display())
}

fn confine(read: &[PathBuf], write: &[PathBuf]) -> Result<(), String> {
    let said = |error: RulesetError| format!("this process could not be confined: {error}");
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let start = AccessFs::from_read(KNOWN);
    let devices: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let change = AccessFs::from_all(KNOWN) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let status = rules()
        .and_then(|rules| rules.add_rules(path_beneath_rules(SYSTEM, start)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(SETTINGS, look)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(DEVICES, devices)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(read, start)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(write, change)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(said)?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("this process could not be confined: the kernel did not take the rules".into());
    }
    Ok(())
}
