//! `countersign chat`: asks for something in a conversation and carries it on to its gates. Without a model it is the
//! form of the blueprint that is nearest to the words of the request. Nothing that is said here approves anything; that
//! is asked by itself, where `run` asks it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    agent::{Form, Near, clearly, expected_steps, nearest, so_far},
    artifact::{Blueprint, Spec, digest_of},
    facts::{AUTONOMOUS, Scope, Trust, spec_facts},
    gate::{Screen, Section, boundary_words, render},
    ledger::{Claim, Journal, Status, TrustBook},
    policy::Catalog,
    runtime::{NewRequest, RequestError, file_request},
};

use super::{
    args::{Chat, Global},
    asking::{Asked, Beside, ask_all},
    code::{CliError, Code},
    context::Context,
    converse::Converse,
    form,
    interrupt::Interrupt,
    list::status_words,
    output::{plain, quoted, say, style},
    reader::{Read, Reader},
    request::without_model,
    seat::Seat,
    show,
};

/// Runs the command.
pub async fn run(global: &Global, args: Chat) -> Result<Code, CliError> {
    if global.json {
        return Err(CliError::usage(
            "a conversation is for people, or for a script with one answer a line; \
             use `countersign request --json` and `countersign run --json`",
        ));
    }
    let context = Context::open_to_write(global).await?;
    let mut reader = Reader::new()?;
    let journal = match &args.id {
        Some(id) => {
            let journal = context.journal(id).await?;
            say_standing(&journal);
            journal
        }
        None => match ask(&context, &mut reader, &args).await? {
            Some(journal) => journal,
            None => return Ok(Code::Done),
        },
    };
    carry_on(&context, reader, journal).await
}

/// Where an engagement is that is taken up again.
fn say_standing(journal: &Journal) {
    let state = journal.state();
    say(format!("{}  {}", state.id, plain(journal.title())));
    say(format!("  asked by   {}", plain(&state.requester.to_string())));
    say(format!("  phase      {}, {}", state.phase, plain(&status_words(&Status::of(state)))));
}

/// Drives it from here: progress, questions and gates as `run` shows them.
async fn carry_on(context: &Context, reader: Reader, mut journal: Journal) -> Result<Code, CliError> {
    if let Some(closed) = journal.state().closed.clone() {
        show::ending(&journal, &closed, None);
        return Ok(Code::of(closed.outcome));
    }
    let id = journal.id().clone();
    let _claim = Claim::take(&context.workspace.claims(), &id)?;
    let speaker = context.identity()?;
    // A line from a pipe may have been written by anyone and before anything was shown, so it answers no gate.
    let identity = reader.interactive().then(|| speaker.clone());
    let interrupt = Interrupt::listen(format!("countersign chat {id}"));
    let chat = Converse::new(reader, speaker.clone());
    let broker = context.broker();
    let key = context.key(None)?;
    let seat = Seat {
        workspace: &context.workspace,
        broker: &broker,
        models: context.workspace.models()?,
        me: Some(speaker),
        key: key.as_ref(),
        interrupt: Some(interrupt),
        quiet: false,
        chat: Some(&chat),
    };
    let code = seat.drive(&mut journal, identity.as_ref(), None).await;
    broker.close().await;
    code
}

/// Asks what is wanted and files it; nothing where the person leaves it at that.
async fn ask(context: &Context, reader: &mut Reader, args: &Chat) -> Result<Option<Journal>, CliError> {
    let identity = context.identity()?;
    let catalog = context.workspace.load_catalog()?;
    let (named, blueprints) = match &args.blueprint {
        Some(name) => (Some(context.workspace.blueprints()?.named(name)?), Vec::new()),
        None => (None, context.usable_blueprints()?),
    };
    let book = TrustBook::open(Arc::clone(context.workspace.store())).await?;
    book.held_to_log().await?;
    let trust = book.trust().clone();
    let drafting = without_model(&context.workspace.models()?).is_none();
    let mut words = args.text.clone();
    loop {
        let wanted = match &named {
            Some(blueprint) => Wanted::Blueprint(blueprint),
            None => choose(reader, &blueprints, words.take(), drafting)?,
        };
        let blueprint = match wanted {
            Wanted::Blueprint(blueprint) => blueprint,
            Wanted::Words(text) => {
                let near = nearest(&text, &blueprints);
                say_nearest(&near);
                let material = near.into_iter().map(|near| near.blueprint.clone()).collect();
                let new = NewRequest { text: Some(text), material, ..NewRequest::default() };
                let journal = file_request(&context.workspace, new, identity, Timestamp::now()).await?;
                say(format!("{}  {}", journal.id(), plain(&journal.state().requested.title)));
                return Ok(Some(journal));
            }
        };
        let given = form::given(blueprint, None, &args.set)?;
        let mut form = Form::new(&blueprint.inputs, &catalog.inventory, given)
            .map_err(|error| CliError::usage(error.to_string()))?;
        say("");
        say(format!("{}: {}", plain(&blueprint.name), plain(&blueprint.title)));
        let may_choose = args.blueprint.is_none();
        loop {
            let title = |form: &Form<'_>| {
                if form.open().is_some()
                    && let Some(title) = so_far(blueprint, form.answers()).first()
                {
                    say(format!("     {}", plain(title)));
                }
            };
            match ask_all(reader, &mut form, Beside { back: may_choose, words: false }, title)? {
                Asked::Whole | Asked::InWords(_) => {}
                Asked::Back => break,
                Asked::Over(input) => {
                    let what = format!("the answers end before `{input}`, so nothing is filed; go on from here with");
                    return Err(ended(what, blueprint, &form));
                }
                Asked::Unfit(input, why) => {
                    let place = reader.place();
                    let what = format!("{place}: `{input}`: {why}; nothing is filed. Go on from here with");
                    return Err(ended(what, blueprint, &form));
                }
            }
            say("");
            say(render(&draft(blueprint, &form, &catalog, &trust)?, style()));
            match confirm(reader, &form)? {
                Confirmed::File => {}
                Confirmed::Back => {
                    form.back();
                    continue;
                }
                Confirmed::Leave => {
                    say(format!("Nothing is filed. Next: {}", again(blueprint, &form)));
                    return Ok(None);
                }
            }
            let new = NewRequest {
                blueprint: Some(blueprint.clone()),
                inputs: form.answers().clone(),
                ..NewRequest::default()
            };
            match file_request(&context.workspace, new, identity.clone(), Timestamp::now()).await {
                Ok(journal) => {
                    say(format!("{}  {}", journal.id(), plain(&journal.state().requested.title)));
                    return Ok(Some(journal));
                }
                Err(error) => reopen(error, reader, blueprint, &mut form)?,
            }
        }
    }
}

/// The blueprints that a model starts from, for whoever would rather fill in a form.
fn say_nearest(near: &[Near<'_>]) {
    let Some(first) = near.first() else { return };
    let names = near.iter().map(|near| plain(&near.blueprint.name)).collect::<Vec<_>>().join(", ");
    let name = quoted(&first.blueprint.name);
    say(format!("  nearest   {names}; `countersign chat --blueprint {name}` asks for its inputs instead"));
}

/// What a request begins with.
enum Wanted<'a> {
    /// A blueprint, whose form is asked.
    Blueprint(&'a Blueprint),
    /// Words, which models draft from.
    Words(String),
}

/// What is meant. Where models draft, words are theirs to read and only a name is a blueprint's. Else it is taken by its name, by its number among those that were offered, or by words that
/// are clearly nearer to it than to any other; anything else is asked.
fn choose<'a>(
    reader: &mut Reader,
    blueprints: &'a [Blueprint],
    mut words: Option<String>,
    drafting: bool,
) -> Result<Wanted<'a>, CliError> {
    let mut offered: Vec<Near<'a>> = Vec::new();
    let names = || blueprints.iter().map(|blueprint| plain(&blueprint.name)).collect::<Vec<_>>().join(", ");
    let mut question = "What is to be done? Say it in your words, or name a blueprint (`?` lists them).";
    loop {
        let line = match words.take() {
            Some(words) => words,
            None => match reader.ask(question)? {
                Read::Line(line) => line,
                Read::Interrupted => continue,
                Read::End => {
                    let near = offered.first().map(|near| plain(&near.blueprint.name));
                    let how = near
                        .map(|name| format!("; go on with `countersign chat --blueprint {name}`, or name another one"));
                    let what = if how.is_some() {
                        "several blueprints are near to what was asked for"
                    } else {
                        "nothing was asked for"
                    };
                    return Err(CliError::usage(format!("{what}, so nothing is filed{}", how.unwrap_or_default())));
                }
            },
        };
        let line = line.trim();
        if line == "?" {
            for blueprint in blueprints {
                say(format!("  {}: {}", plain(&blueprint.name), plain(&blueprint.title)));
            }
            continue;
        }
        if let Some(named) = blueprints.iter().find(|blueprint| blueprint.name == line) {
            return Ok(Wanted::Blueprint(named));
        }
        let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        if let Some(near) = number.and_then(|number| offered.get(number)) {
            return Ok(Wanted::Blueprint(near.blueprint));
        }
        if drafting && !line.is_empty() {
            return Ok(Wanted::Words(line.to_owned()));
        }
        let near = nearest(line, blueprints);
        if let Some(clear) = clearly(&near) {
            let name = &clear.blueprint.name;
            let words =
                clear.words.iter().map(String::as_str).filter(|word| *word != name.as_str()).collect::<Vec<_>>();
            let also = if words.is_empty() { String::new() } else { format!(", which speaks of {}", words.join(", ")) };
            say(format!("Nearest is {}{}; `back` at its first question chooses another.", plain(name), plain(&also)));
            return Ok(Wanted::Blueprint(clear.blueprint));
        }
        if near.is_empty() {
            let why = match line {
                "" => "say what is to be done".to_owned(),
                _ => format!("no blueprint speaks of any of these words; there are {}", names()),
            };
            if !reader.interactive() {
                return Err(CliError::usage(format!("{}: {why}", reader.place())));
            }
            say(why);
            continue;
        }
        for (at, near) in near.iter().enumerate() {
            let blueprint = near.blueprint;
            let words = plain(&near.words.join(", "));
            say(format!("  {}  {}: {} (speaks of {words})", at + 1, plain(&blueprint.name), plain(&blueprint.title)));
        }
        question = "Which one? Its number or name, or other words.";
        offered = near;
    }
}

/// What the request comes to, before it is filed.
fn draft(blueprint: &Blueprint, form: &Form<'_>, catalog: &Catalog, trust: &Trust) -> Result<Screen, CliError> {
    let inputs = blueprint.check_inputs(form.answers()).map_err(|error| CliError::usage(error.to_string()))?;
    let spec = blueprint.draft_spec(&inputs).map_err(|error| CliError::failed(error.to_string()))?;
    let mut wanted = Section::new("WHAT MUST BE TRUE IN THE END");
    spec.requirements.iter().for_each(|requirement| wanted.text(format!("{}  {}", requirement.id, requirement.text)));
    let mut allowed = Section::new("WHAT MAY BE DONE");
    boundary_words(&spec, catalog).into_iter().for_each(|said| allowed.text(said));
    let mut steps = Section::new("WHAT IS PLANNED, once discovery has looked");
    expected_steps(blueprint, &inputs, &catalog.toolbox).into_iter().for_each(|said| steps.text(said));
    Ok(Screen {
        title: "DRAFT: nothing is filed yet".into(),
        banner: None,
        subject: spec.title.clone(),
        sections: vec![wanted, allowed, steps],
        footer: comes_next(blueprint, &spec, catalog, trust)?.into(),
    })
}

/// What comes once a draft is filed: where policy answers gates, that may be all that a person says.
fn comes_next(blueprint: &Blueprint, spec: &Spec, catalog: &Catalog, trust: &Trust) -> Result<&'static str, CliError> {
    let facts = spec_facts(spec, &catalog.toolbox, &catalog.inventory);
    let digest = digest_of(blueprint).map_err(|error| CliError::failed(error.to_string()))?;
    let stage = |environment: &String| trust.stage(&Scope { blueprint: digest, environment: environment.clone() });
    let by_policy = !facts.unlisted_targets && facts.environments.iter().map(stage).min() == Some(AUTONOMOUS);
    Ok(if by_policy {
        "FILING IT MAY BE ALL THAT ANYBODY SAYS: at trust stage 3 policy answers the gates that it clearly allows, and it is \
         built at once."
    } else {
        "Filing it approves nothing: gate 1 comes next."
    })
}

/// What a person wants done with a draft.
enum Confirmed {
    File,
    Back,
    Leave,
}

/// Whether to file it. A script files with its last answer.
fn confirm(reader: &mut Reader, form: &Form<'_>) -> Result<Confirmed, CliError> {
    loop {
        if !reader.interactive() {
            return Ok(Confirmed::File);
        }
        let line = match reader.ask("[f]ile it, go [b]ack, or [l]eave it (default: file it)")? {
            Read::Line(line) => line.trim().to_lowercase(),
            Read::Interrupted | Read::End => return Ok(Confirmed::Leave),
        };
        match line.as_str() {
            "" | "f" | "file" => return Ok(Confirmed::File),
            "b" | "back" if form.answers().is_empty() => say("  nothing was asked"),
            "b" | "back" => return Ok(Confirmed::Back),
            "l" | "leave" => return Ok(Confirmed::Leave),
            _ => say("  please answer f, b or l; approving comes later, at the gate"),
        }
    }
}

/// Opens the question again whose answer does not stand; an error where that cannot be said or a script is answering.
fn reopen(error: RequestError, reader: &Reader, blueprint: &Blueprint, form: &mut Form<'_>) -> Result<(), CliError> {
    let RequestError::Problems(problems) = &error else { return Err(error.into()) };
    let input = problems.iter().find_map(|problem| problem.path.strip_prefix("input `")?.strip_suffix('`'));
    match input {
        Some(input) if reader.interactive() && form.reopen(input) => {
            say(plain(&error.to_string()));
            Ok(())
        }
        _ => {
            let mut error = CliError::from(error);
            error.message.push_str(&format!("\nnothing is filed; go on from here with\n{}", again(blueprint, form)));
            Err(error)
        }
    }
}

/// The end of the answers, with the command that goes on from there.
fn ended(what: String, blueprint: &Blueprint, form: &Form<'_>) -> CliError {
    CliError::usage(format!("{what}\n{}", again(blueprint, form)))
}

/// The command that takes the conversation up again with what was answered so far.
fn again(blueprint: &Blueprint, form: &Form<'_>) -> String {
    let set: String = form.as_set().iter().map(|set| format!(" --set {}", quoted(set))).collect();
    format!("countersign chat --blueprint {}{set}", quoted(&blueprint.name))
}
