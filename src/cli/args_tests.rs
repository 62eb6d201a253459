use clap::CommandFactory;

fn without_example(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let inner: Vec<_> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if inner.is_empty() && !help.contains("Example") {
        found.push(path.to_owned());
    }
    inner.iter().for_each(|inner| without_example(inner, &format!("{path} {}", inner.get_name()), found));
}

#[test]
fn the_help_of_every_command_has_an_example() {
    let mut found = Vec::new();
    without_example(&super::args::Cli::command(), "countersign", &mut found);
    assert_eq!(found, ["countersign sandbox"], "that one is for the program itself");
}
