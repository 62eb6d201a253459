//! What endpoints say, made fit to keep and to show. Pure.

/// What stands for a character that was taken out.
const REPLACED: char = '\u{fffd}';

/// A text without characters that control a terminal; line breaks and tabs stay. Carriage returns go without a trace,
/// since line breaks may be written with them.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { REPLACED } else { c })
        .collect()
}

/// How many characters `clean` replaces.
pub(super) fn controls(text: &str) -> usize {
    text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')).count()
}

/// A text on one line, no longer than `most` characters.
pub(super) fn short(text: &str, most: usize) -> String {
    let line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_replaced() {
        for (text, cleaned, count) in [
            ("one\ntwo\tthree", "one\ntwo\tthree", 0),
            ("a\r\nb", "a\nb", 0),
            ("nul \0, escape \u{1b}[2J, bell \u{7}", "nul \u{fffd}, escape \u{fffd}[2J, bell \u{fffd}", 3),
            ("\u{9b}31m and \u{7f}", "\u{fffd}31m and \u{fffd}", 2),
            ("größe 名", "größe 名", 0),
        ] {
            assert_eq!(clean(text), cleaned);
            assert_eq!(controls(text), count, "{text:?}");
        }
        assert_eq!(short(" a\n\n b  c ", 10), "a b c");
        assert_eq!(short("ééééé", 3), "ééé…");
    }
}
