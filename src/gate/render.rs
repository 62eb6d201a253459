//! Renders a screen as text. Headings stand in the first column and everything else is indented, so that no value
//! can look like a heading; every text is made visible here once more, whoever built the screen.

use super::{
    screen::{Line, Screen, Section},
    text::{columns, visible, width},
};

/// How a screen is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether headings, warnings and diffs are coloured; the text is the same without.
    pub colour: bool,
    /// Columns that a line may take.
    pub width: usize,
}

impl Style {
    /// Without colour.
    pub fn plain(width: usize) -> Self {
        Self { colour: false, width }
    }

    /// With ANSI colours.
    pub fn colour(width: usize) -> Self {
        Self { colour: true, width }
    }
}

#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Plain,
}

/// The narrowest width that is kept to.
const NARROWEST: usize = 40;
/// Columns that a key may take.
const WIDEST_KEY: usize = 20;

/// The screen as text; the same text for terminal and export but for colour.
pub fn render(screen: &Screen, style: Style) -> String {
    let mut page = Page { style: Style { width: style.width.max(NARROWEST), ..style }, text: String::new() };
    let title = visible(&screen.title);
    match &screen.banner {
        Some(banner) => {
            let banner = visible(banner);
            let gap = page.style.width.saturating_sub(width(&title) + width(&banner));
            if gap >= 2 {
                page.row(Paint::Bold, &format!("{title}{}{banner}", " ".repeat(gap)));
            } else {
                page.wrap(Paint::Bold, "", "    ", &title);
                page.wrap(Paint::Bold, "", "    ", &banner);
            }
        }
        None => page.wrap(Paint::Bold, "", "    ", &title),
    }
    page.wrap(Paint::Plain, "  ", "    ", &visible(&screen.subject));
    for section in &screen.sections {
        page.section(section);
    }
    page.row(Paint::Plain, "");
    page.wrap(Paint::Bold, "", "    ", &visible(&screen.footer));
    page.text
}

/// A key: short enough to leave room for what stands beside it.
fn short(key: &str) -> String {
    let mut room = WIDEST_KEY;
    let fits = |c: &char| {
        let fits = columns(*c) <= room;
        room = room.saturating_sub(columns(*c));
        fits
    };
    visible(key).chars().take_while(fits).collect()
}

/// Text in rows of at most so many columns, the first after one beginning and the others after another. A word that is wider
/// than a row is broken where the row ends, or stands by itself in a wider one.
pub fn rows(text: &str, (first, later): (&str, &str), most: usize, breaks: bool) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = first.to_owned();
    let mut bare = true;
    let mut pieces: Vec<&str> = text.split(' ').collect();
    pieces.reverse();
    while let Some(piece) = pieces.pop() {
        let gap = usize::from(!bare);
        if width(&row) + gap + width(piece) <= most || bare && !breaks {
            row.extend((!bare).then_some(' '));
            row.push_str(piece);
            bare = false;
        } else if !bare {
            rows.push(row.trim_end().to_owned());
            row = later.to_owned();
            bare = true;
            pieces.push(piece);
        } else {
            let mut room = most.saturating_sub(width(&row));
            let fits = |c: char| {
                let fits = columns(c) <= room;
                room = room.saturating_sub(columns(c));
                fits
            };
            let end = piece.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
            let end = end.scan(fits, |fits, (end, c)| fits(c).then_some(end)).last().unwrap_or(piece.len());
            let (now, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
            row.push_str(now);
            bare = false;
            if !rest.is_empty() {
                pieces.push(rest);
            }
        }
    }
    rows.push(row.trim_end().to_owned());
    rows
}

struct Page {
    style: Style,
    text: String,
}

impl Page {
    fn section(&mut self, section: &Section) {
        self.row(Paint::Plain, "");
        if let Some(heading) = &section.heading {
            self.wrap(Paint::Bold, "", "    ", &visible(heading));
        }
        let keys = section.lines.iter().filter_map(|line| match line {
            Line::KeyValue { key, .. } => Some(width(&short(key))),
            _ => None,
        });
        let keys = keys.max().unwrap_or_default();
        for line in &section.lines {
            self.line(line, keys);
        }
    }

    fn line(&mut self, line: &Line, keys: usize) {
        match line {
            Line::Text(text) => self.wrap(Paint::Plain, "  ", "    ", &visible(text)),
            Line::Detail(text) => self.wrap(Paint::Plain, "    ", "      ", &visible(text)),
            Line::KeyValue { key, value } => {
                let key = short(key);
                let gap = " ".repeat(keys.saturating_sub(width(&key)) + 2);
                let later = " ".repeat(keys + 4);
                self.wrap(Paint::Plain, &format!("  {key}{gap}"), &later, &visible(value));
            }
            Line::Removed(text) => self.wrap(Paint::Red, "    - ", "        ", &visible(text)),
            Line::Added(text) => self.wrap(Paint::Green, "    + ", "        ", &visible(text)),
            Line::Kept(text) => self.wrap(Paint::Dim, "      ", "        ", &visible(text)),
            Line::Warning(text) => self.wrap(Paint::Yellow, "  ! ", "    ", &visible(text)),
            Line::Call { node, sentence, digest, tick } => {
                let call = format!("{}  {}  {}", visible(node), visible(digest), visible(sentence));
                self.wrap(Paint::Plain, if *tick { "  [ ] " } else { "  " }, "      ", &call);
            }
        }
    }

    /// Text in rows no wider than the style, the first after `first`, the others after `later`.
    fn wrap(&mut self, paint: Paint, first: &str, later: &str, text: &str) {
        rows(text, (first, later), self.style.width, true).iter().for_each(|row| self.row(paint, row));
    }

    fn row(&mut self, paint: Paint, row: &str) {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Red => "31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Plain => "",
        };
        if self.style.colour && !code.is_empty() && !row.is_empty() {
            self.text.push_str(&format!("\u{1b}[{code}m{row}\u{1b}[0m"));
        } else {
            self.text.push_str(row);
        }
        self.text.push('\n');
    }
}
