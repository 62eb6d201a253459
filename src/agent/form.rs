//! Questions asked one at a time, of a blueprint or of an agent: what was answered, what comes next, and whether an
//! answer fits. Pure: whoever reads lines from a person or a script hands them in and shows what comes back.

use serde_json::{Map, Value};

use crate::{
    artifact::{Format, InputError, InputSchema, ValueSchema, ValueType, value::as_word},
    facts::Inventory,
};

/// The word that goes to the question before.
pub const BACK: &str = "back";
/// The word that asks what an answer may be.
pub const HELP: &str = "?";
/// How many names a help lists.
const MOST_LISTED: usize = 12;

/// Questions and the answers so far.
#[derive(Clone, Debug)]
pub struct Form<'a> {
    inputs: &'a [InputSchema],
    inventory: &'a Inventory,
    answers: Map<String, Value>,
    /// The questions, without those that were answered beforehand.
    asks: Vec<&'a InputSchema>,
    /// Which of them is open.
    at: usize,
}

/// What came of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It is the answer.
    Answered,
    /// The question before is open again.
    Back,
    /// There is none before this one.
    First,
    /// What an answer may be.
    Help(Vec<String>),
    /// It does not fit, and why.
    Invalid(String),
}

impl<'a> Form<'a> {
    /// The form that asks for these. What is given beforehand is checked now and not asked.
    pub fn new(
        inputs: &'a [InputSchema],
        inventory: &'a Inventory,
        given: Map<String, Value>,
    ) -> Result<Self, InputError> {
        let mut answers = Map::new();
        let asks: Vec<&InputSchema> = inputs.iter().filter(|input| !given.contains_key(&input.name)).collect();
        for (name, value) in given {
            let Some(input) = inputs.iter().find(|input| input.name == name) else {
                let known = inputs.iter().map(|input| input.name.clone()).collect();
                return Err(InputError::Unknown { name, known });
            };
            let value = fitting(&input.schema, inventory, &value)
                .map_err(|reason| InputError::Invalid { name: name.clone(), reason })?;
            answers.insert(name, value);
        }
        Ok(Self { inputs, inventory, answers, asks, at: 0 })
    }

    /// The open question; none once all are answered.
    pub fn open(&self) -> Option<&'a InputSchema> {
        self.asks.get(self.at).copied()
    }

    /// The answers so far, in normal form.
    pub fn answers(&self) -> &Map<String, Value> {
        &self.answers
    }

    /// The open question in words: what it asks, its place, what an answer may look like and what no answer means.
    pub fn question(&self) -> Option<String> {
        let input = self.open()?;
        let hint = match (self.answers.get(&input.name).or(input.schema.default.as_ref()), &input.example) {
            (Some(default), _) if as_word(default).is_empty() => " [none]".to_owned(),
            (Some(default), _) => format!(" [{}]", as_word(default)),
            (None, _) if !input.schema.choices.is_empty() => format!(" ({})", listed(&input.schema.choices)),
            (None, Some(example)) => format!(" (such as {})", as_word(example)),
            (None, None) => String::new(),
        };
        Some(format!("{}/{}  {}{hint}", self.at + 1, self.asks.len(), input.ask))
    }

    /// Takes a line as the answer to the open question. `back` and `?` are no answers; a backslash before one of them
    /// makes it one. An empty line is what stands in brackets.
    pub fn take(&mut self, line: &str) -> Taken {
        let Some(input) = self.open() else { return Taken::Invalid("every question is answered".into()) };
        let word = match line.trim() {
            BACK => return self.back(),
            HELP => return Taken::Help(self.help(input)),
            escaped if matches!(escaped.strip_prefix('\\'), Some(BACK | HELP)) => {
                escaped.strip_prefix('\\').unwrap_or(escaped)
            }
            word => word,
        };
        let before = self.answers.get(&input.name).or(input.schema.default.as_ref());
        let value = match before {
            Some(value) if word.is_empty() => Ok(value.clone()),
            None if word.is_empty() => Err("an answer is needed here".to_owned()),
            _ => input.schema.from_word(word),
        };
        match value.and_then(|value| fitting(&input.schema, self.inventory, &value)) {
            Ok(value) => {
                self.answers.insert(input.name.clone(), value);
                self.at += 1;
                Taken::Answered
            }
            Err(why) => Taken::Invalid(why),
        }
    }

    /// Opens the question before.
    pub fn back(&mut self) -> Taken {
        if self.at == 0 {
            return Taken::First;
        }
        self.at -= 1;
        Taken::Back
    }

    /// Opens the question of this input, if it is one that is asked.
    pub fn reopen(&mut self, name: &str) -> bool {
        let found = self.asks.iter().position(|input| input.name == name);
        self.at = found.unwrap_or(self.at);
        found.is_some()
    }

    /// The answers that were given, as `--set` takes them; those that are only what stands in brackets are left out.
    pub fn as_set(&self) -> Vec<String> {
        let given = |input: &&InputSchema| {
            let value = self.answers.get(&input.name)?;
            (input.schema.default.as_ref() != Some(value)).then(|| format!("{}={}", input.name, as_word(value)))
        };
        self.inputs.iter().filter_map(|input| given(&input)).collect()
    }

    fn help(&self, input: &InputSchema) -> Vec<String> {
        let mut lines = vec![format!("`{}` is {}", input.name, kind_words(&input.schema))];
        lines.extend(input.schema.description.iter().map(|said| said.trim().to_owned()));
        if input.schema.kind == ValueType::Array {
            lines.push("several are written with commas between them".into());
        }
        let item = input.schema.items.as_deref().unwrap_or(&input.schema);
        if item.format == Some(Format::Target) {
            let names: Vec<&str> = self.inventory.targets.iter().map(|target| target.name.as_str()).collect();
            let more = names.len().saturating_sub(MOST_LISTED);
            let first = names.into_iter().take(MOST_LISTED).collect::<Vec<_>>().join(", ");
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            lines.push(format!("the inventory has {first}{more}"));
        }
        lines.extend(input.example.as_ref().map(|example| format!("an example: {}", as_word(example))));
        match self.answers.get(&input.name).or(input.schema.default.as_ref()) {
            Some(default) if as_word(default).is_empty() => lines.push("an empty line leaves it out".into()),
            Some(default) => lines.push(format!("an empty line is {}", as_word(default))),
            None => {}
        }
        lines.push(format!("`{BACK}` goes to the question before; `\\{BACK}` is the word itself"));
        lines
    }
}

/// The value in normal form, if it fits its schema and names only targets that the inventory has.
fn fitting(schema: &ValueSchema, inventory: &Inventory, value: &Value) -> Result<Value, String> {
    let normal = schema.normalise(value)?;
    let item = schema.items.as_deref().unwrap_or(schema);
    let named: Vec<&Value> = normal.as_array().map_or_else(|| vec![&normal], |items| items.iter().collect());
    let targets = named.iter().filter(|_| item.format == Some(Format::Target)).filter_map(|name| name.as_str());
    match targets.into_iter().find(|name| inventory.target(name).is_none()) {
        Some(unknown) => Err(format!("the inventory has no target `{unknown}`")),
        None => Ok(normal),
    }
}

fn listed(values: &[Value]) -> String {
    values.iter().map(as_word).collect::<Vec<_>>().join(", ")
}

/// What a value of a schema is, in words.
pub fn kind_words(schema: &ValueSchema) -> String {
    if !schema.choices.is_empty() {
        return format!("one of {}", listed(&schema.choices));
    }
    match (schema.kind, schema.format) {
        (ValueType::Boolean, _) => "`true` or `false`".into(),
        (ValueType::Integer, format) => {
            let what = if format == Some(Format::VlanId) { "a VLAN id" } else { "a whole number" };
            match (schema.minimum, schema.maximum) {
                (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
                (Some(least), None) => format!("{what} of at least {least}"),
                (None, Some(most)) => format!("{what} of at most {most}"),
                (None, None) => what.into(),
            }
        }
        (ValueType::Array, _) => {
            let item = schema.items.as_deref().map_or_else(|| "values".to_owned(), kind_words);
            let most = schema.max_items.map_or_else(String::new, |most| format!(", at most {most}"));
            format!("a list, each {item}{most}")
        }
        (ValueType::Object, _) => {
            let names: Vec<&str> = schema.properties.keys().map(String::as_str).collect();
            format!("an object as JSON, with {}", names.join(", "))
        }
        (ValueType::String, format) => {
            let what = match format {
                Some(Format::DnsLabel) => "one DNS label: letters, digits and inner hyphens",
                Some(Format::DnsName) => "a DNS name without the final dot",
                Some(Format::Ip) => "an IP address",
                Some(Format::Ipv4) => "an IPv4 address",
                Some(Format::Ipv6) => "an IPv6 address",
                Some(Format::Cidr) => "an address block without host bits",
                Some(Format::Interface) => "the name of an interface",
                Some(Format::Target) => "the name of a target of the inventory",
                Some(Format::Name) => "a plain name: letters, digits, `-`, `_` and `.`",
                Some(Format::VlanId | Format::Text) | None => "text on one line",
            };
            let most = schema.max_length.map_or_else(String::new, |most| format!(", at most {most} characters"));
            format!("{what}{most}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::{Blueprint, from_yaml};

    fn vlan() -> Blueprint {
        from_yaml("vlan", include_str!("../../prompts/blueprints/vlan.yaml")).unwrap()
    }

    fn inventory() -> Inventory {
        from_yaml("inventory", include_str!("../../policies/inventory.yaml")).unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn each_line_is_an_answer_or_says_why_not() {
        let (vlan, inventory) = (vlan(), inventory());
        let mut form = Form::new(&vlan.inputs, &inventory, Map::new()).unwrap();
        for (asks, line, taken) in [
            ("1/4  Which VLAN id? (such as 120)", "", Taken::Invalid("an answer is needed here".into())),
            ("1/4  Which VLAN id? (such as 120)", "5000", Taken::Invalid("5000 is not a VLAN id".into())),
            ("1/4  Which VLAN id? (such as 120)", "guest", Taken::Invalid("is not a whole number".into())),
            ("1/4  Which VLAN id? (such as 120)", "back", Taken::First),
            ("1/4  Which VLAN id? (such as 120)", " 120 ", Taken::Answered),
            ("2/4  What is the VLAN called? (such as guest)", "guest room", Taken::Invalid("not a plain name".into())),
            ("2/4  What is the VLAN called? (such as guest)", "\\back", Taken::Answered),
            ("3/4  On which switches? [sw01,sw02,sw03,sw04]", "back", Taken::Back),
            ("2/4  What is the VLAN called? [back]", "", Taken::Answered),
            ("3/4  On which switches? [sw01,sw02,sw03,sw04]", "sw01,sw09", Taken::Invalid("no target `sw09`".into())),
            ("3/4  On which switches? [sw01,sw02,sw03,sw04]", "sw02, sw01", Taken::Answered),
            ("4/4  Which ticket is this for, if any? [none]", "", Taken::Answered),
        ] {
            assert_eq!(form.question().unwrap(), asks);
            match (form.take(line), taken) {
                (Taken::Invalid(why), Taken::Invalid(says)) => assert!(why.contains(&says), "{why}"),
                (took, taken) => assert_eq!(took, taken, "{asks} {line}"),
            }
        }
        assert_eq!((form.question(), form.open()), (None, None));
        assert!(matches!(form.take("more"), Taken::Invalid(_)));
        let answers = json!({"id": 120, "name": "back", "switches": ["sw02", "sw01"], "ticket": ""});
        assert_eq!(json!(form.answers()), answers);
        assert_eq!(vlan.check_inputs(form.answers()).unwrap(), object(answers), "what the form takes is taken");
        assert_eq!(form.as_set(), ["id=120", "name=back", "switches=sw02,sw01"]);
        assert!(form.reopen("name") && form.question().unwrap().starts_with("2/4"));
        assert!(!form.reopen("nothing"));
    }

    #[test]
    fn what_is_given_is_not_asked_and_must_fit_too() {
        let (vlan, inventory) = (vlan(), inventory());
        let given = object(json!({"id": 120, "switches": ["sw01"]}));
        let form = Form::new(&vlan.inputs, &inventory, given).unwrap();
        assert_eq!(form.question().unwrap(), "1/2  What is the VLAN called? (such as guest)");
        for wrong in [json!({"id": 1}), json!({"vid": 120}), json!({"switches": ["sw09"]}), json!({"id": "120"})] {
            assert!(Form::new(&vlan.inputs, &inventory, object(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn help_says_what_an_answer_may_be() {
        let (vlan, inventory) = (vlan(), inventory());
        let mut form = Form::new(&vlan.inputs, &inventory, object(json!({"id": 120, "name": "guest"}))).unwrap();
        let Taken::Help(lines) = form.take("?") else { panic!() };
        let help = lines.join("\n");
        for said in [
            "each the name of a target of the inventory",
            "at most 40",
            "commas",
            "sw01, sw02",
            "an empty line is sw01,sw02",
        ] {
            assert!(help.contains(said), "`{said}` is not in\n{help}");
        }
        let schema = |text: &str| -> ValueSchema { from_yaml("schema", text).unwrap() };
        for (text, words) in [
            ("{type: integer, minimum: 60, maximum: 86400}", "a whole number from 60 to 86400"),
            ("{type: integer, minimum: 1}", "a whole number of at least 1"),
            ("{type: string, enum: [a, b]}", "one of a, b"),
            ("{type: boolean}", "`true` or `false`"),
            ("{type: string, format: ipv4}", "an IPv4 address"),
            ("{type: string, format: ipv6}", "an IPv6 address"),
            ("{type: string, maxLength: 60}", "text on one line, at most 60 characters"),
        ] {
            assert_eq!(kind_words(&schema(text)), words);
        }
    }
}
