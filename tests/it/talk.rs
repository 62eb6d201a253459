//! A conversation on a terminal: what is said is waited for, what is typed is typed when it was said.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{bench::Bench, terminal::on_a_terminal};

/// A conversation on a terminal.
pub struct Talk {
    child: Child,
    typing: ChildStdin,
    heard: Arc<Mutex<String>>,
    /// How much of it was taken in.
    at: usize,
}

impl Talk {
    pub fn new(bench: &Bench, args: &str) -> Self {
        Self::of(on_a_terminal(bench, args))
    }

    /// One with what was started so.
    pub fn of(mut script: Command) -> Self {
        script.env("CVC5", "/nowhere/cvc5").env("COLUMNS", "100");
        script.env_remove("EDITOR").env_remove("VISUAL");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = script.spawn().expect("`script` gives a test its terminal");
        let typing = child.stdin.take().unwrap();
        let mut out = child.stdout.take().unwrap();
        let heard = Arc::new(Mutex::new(String::new()));
        let hearing = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut bytes) {
                hearing.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { child, typing, heard, at: 0 }
    }

    /// Waits until this is said, and gives what was said before it.
    #[track_caller]
    pub fn hears(&mut self, text: &str) -> String {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let heard = self.heard.lock().unwrap().clone();
            let new = &heard[self.at..];
            if let Some(found) = new.find(text) {
                let before = new[..found].to_owned();
                self.at += found + text.len();
                return before;
            }
            if Instant::now() > patience {
                let _ = self.child.kill();
                panic!("`{text}` is not said:\n{new}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn types(&mut self, keys: &str) {
        self.typing.write_all(keys.as_bytes()).unwrap();
        self.typing.flush().unwrap();
    }

    /// Waits for a question and answers it.
    #[track_caller]
    pub fn answers(&mut self, question: &str, line: &str) -> String {
        let before = self.hears(question);
        // The line editor reads once it has shown where to type.
        self.hears("> ");
        self.types(&format!("{line}\r"));
        before
    }

    /// Waits for the end; all that was said.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> String {
        let patience = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > patience => {
                    let _ = self.child.kill();
                    panic!("it does not end:\n{}", self.heard.lock().unwrap());
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        std::thread::sleep(Duration::from_millis(50));
        let heard = self.heard.lock().unwrap().clone();
        assert_eq!(status.code(), Some(code), "{heard}");
        heard
    }
}
