//! What the attempts of one turn used that brought no answer, put together from the pieces that are told of them. Nobody
//! sends figures for these, so all of it is an estimate. Pure.

use crate::engagement::Usage;

use super::{Delta, config::Price};

/// A token is about so many bytes.
const BYTES_A_TOKEN: usize = 4;

/// The meter of one turn.
#[derive(Debug, Default)]
pub struct Meter {
    spent: Usage,
    running: Option<Running>,
    endpoint: Option<String>,
}

/// An attempt under way.
#[derive(Debug)]
struct Running {
    tokens: u64,
    price: Option<Price>,
    heard: usize,
}

impl Running {
    fn usage(&self) -> Usage {
        let output = tokens(self.heard);
        let cost_micros = self.price.as_ref().map(|price| price.micros(self.tokens, output));
        Usage { input: self.tokens, output, estimated: true, cost_micros }
    }
}

impl Meter {
    /// Takes in a piece.
    pub fn hear(&mut self, delta: &Delta) {
        match delta {
            Delta::Asked { endpoint, tokens, price } => {
                self.endpoint = Some(endpoint.clone());
                self.running = Some(Running { tokens: *tokens, price: price.clone(), heard: 0 });
            }
            Delta::Text(text) | Delta::Calling(text) => self.grow(text.len()),
            Delta::Arguments(bytes) => self.grow(*bytes),
            Delta::Spent => self.spent = self.total(),
            Delta::Restarted(_) => {}
        }
        if matches!(delta, Delta::Spent | Delta::Restarted(_)) {
            self.running = None;
        }
    }

    fn grow(&mut self, bytes: usize) {
        if let Some(running) = &mut self.running {
            running.heard = running.heard.saturating_add(bytes);
        }
    }

    /// The bytes that the attempt under way has brought.
    pub fn heard(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.heard)
    }

    /// What attempts that are over used in vain.
    pub fn spent(&self) -> Usage {
        self.spent
    }

    /// The same with the attempt under way, as if it ended now.
    pub fn total(&self) -> Usage {
        self.running.as_ref().map_or(self.spent, |running| self.spent.and(running.usage()))
    }

    /// The endpoint that was asked last.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }
}

/// About how many tokens so many bytes are.
pub(super) fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_A_TOKEN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_in_vain_is_counted_as_far_as_it_was_read() {
        let price = Price { input: 2.0, output: 8.0, currency: "EUR".into() };
        let asked = |tokens| Delta::Asked { endpoint: "main".into(), tokens, price: Some(price.clone()) };
        let restarted = || Delta::Restarted("broke off".into());
        let mut meter = Meter::default();
        assert_eq!(meter.total(), Usage::default());
        // One that never was read costs nothing.
        [asked(1_000), restarted()].iter().for_each(|delta| meter.hear(delta));
        assert_eq!((meter.total(), meter.endpoint()), (Usage::default(), Some("main")));
        // One that broke off, with 8 bytes of text and 12 of a call: 5 tokens.
        let broken = [asked(100), Delta::Text("eight by".into()), Delta::Calling("list".into()), Delta::Arguments(8)];
        broken.iter().for_each(|delta| meter.hear(delta));
        assert_eq!(meter.heard(), 20);
        meter.hear(&Delta::Spent);
        meter.hear(&restarted());
        let once = Usage { input: 100, output: 5, estimated: true, cost_micros: Some(240) };
        assert_eq!((meter.spent(), meter.total()), (once, once));
        // One that is under way counts where it is left.
        [asked(50), Delta::Text("four".into())].iter().for_each(|delta| meter.hear(delta));
        assert_eq!(meter.spent(), once);
        let both = Usage { input: 150, output: 6, estimated: true, cost_micros: Some(240 + 108) };
        assert_eq!(meter.total(), both);
    }
}
