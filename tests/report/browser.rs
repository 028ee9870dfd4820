//! A headless Chromium, told what to do over a pipe.
//!
//! In: a page. Out: values of scripts, pictures, and all that the browser complains about or loads.
//! The decision held here: the DevTools protocol over the descriptors 3 and 4 is JSON with a NUL
//! after each message, so that a crate with WebSockets and an async runtime is not needed. The
//! browser runs in a network namespace without a way out. It has no scroll bars: they come and go
//! with the size of a picture, and move what is in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use recon_tests::{Lab, Process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Debian's package has it.
pub(crate) const PROGRAM: &str = "/usr/bin/chromium";
/// The most that an answer may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The event of a page whose scripts have run.
const LOADED: &str = "Page.loadEventFired";

/// A browser with one tab.
pub(crate) struct Browser {
    input: ChildStdin,
    messages: Receiver<Value>,
    number: u64,
    session: Option<String>,
    /// The tab that looks at pictures: no policy of a page holds there.
    looking: Option<String>,
    is_loaded: bool,
    /// Errors and warnings of pages.
    pub(crate) complaints: Vec<String>,
    /// What pages load.
    pub(crate) requests: Vec<String>,
    _process: Process,
    _folder: TempDir,
}

impl Browser {
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut command = Command::new("sh");
        let line = format!(
            "exec {PROGRAM} --headless --hide-scrollbars --no-sandbox --disable-gpu --disable-quic --no-first-run \
             --disable-background-networking --disable-component-update --disable-sync \
             --disable-dev-shm-usage --remote-debugging-pipe --user-data-dir=\"$0\" \
             3<&0 4>&1 >/dev/null"
        );
        command
            .args(["-c", &line])
            .arg(folder.path())
            .env("HOME", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Process::spawn_fed(lab.attacker(), command)?;
        let input = process.take_stdin().context("piped")?;
        let output = process.take_stdout().context("piped")?;
        let mut browser = Self {
            input,
            messages: read_messages(output),
            number: 0,
            session: None,
            looking: None,
            is_loaded: false,
            complaints: Vec::new(),
            requests: Vec::new(),
            _process: process,
            _folder: folder,
        };
        browser.looking = Some(browser.open_tab()?);
        browser.session = Some(browser.open_tab()?);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a tab and returns its session.
    fn open_tab(&mut self) -> Result<String> {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", attach)?;
        let session = session["sessionId"].as_str().context("a session")?;
        Ok(session.to_owned())
    }

    /// Calls a method and returns its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(message.to_string().as_bytes())?;
        self.input.write_all(b"\0")?;
        self.input.flush()?;
        let number = json!(self.number);
        let mut answer = self.wait(method, |message| message["id"] == number)?;
        ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }

    /// Waits for a message, and notes the events before it.
    fn wait(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + DEADLINE;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(rest);
            let message = message.with_context(|| format!("no answer to {what}"))?;
            if is_it(&message) {
                return Ok(message);
            }
            self.note_event(&message);
        }
    }

    fn note_event(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded") => {
                self.complaints.push(parameters.to_string());
            }
            Some(LOADED) => self.is_loaded = true,
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
    }

    /// Opens a page, and waits until its scripts have drawn it.
    pub(crate) fn open(&mut self, page: &Path, [width, height]: [u32; 2]) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let url = format!("file://{}", page.display());
        self.is_loaded = false;
        self.call("Page.navigate", json!({"url": url}))?;
        // An expression that is evaluated while a page takes the place of another gets no answer.
        // Scripts have run when a page is loaded.
        if !self.is_loaded {
            self.wait(&url, |message| message["method"] == LOADED)?;
        }
        let drawn = self.evaluate("document.getElementById('report').dataset.drawn")?;
        ensure!(drawn == "yes", "{url} is not drawn: {:?}", self.complaints);
        Ok(())
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", asked)?;
        let failed = &answer["exceptionDetails"];
        ensure!(failed.is_null(), "{expression}: {failed}");
        Ok(answer["result"]["value"].take())
    }

    /// The value of an expression that is a number.
    pub(crate) fn number(&mut self, expression: &str) -> Result<u64> {
        let value = self.evaluate(expression)?;
        value
            .as_u64()
            .with_context(|| format!("{expression} is {value}"))
    }

    /// The value of an expression that is a text.
    pub(crate) fn text(&mut self, expression: &str) -> Result<String> {
        let value = self.evaluate(expression)?;
        let text = value.as_str().map(str::to_owned);
        text.with_context(|| format!("{expression} is {value}"))
    }

    /// Prefers that colour scheme from now on.
    pub(crate) fn prefer(&mut self, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}))?;
        Ok(())
    }

    /// How many pixels of the first element that a selector finds have each of these colours, or
    /// nearly; and how many pixels there are.
    pub(crate) fn count_colours(
        &mut self,
        selector: &str,
        colours: &[String],
    ) -> Result<(Vec<u64>, u64)> {
        let place = format!(
            "(() => {{ const box = document.querySelector('{selector}').getBoundingClientRect(); \
             return {{x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1}}; }})()"
        );
        let clip = self.evaluate(&place)?;
        let asked = json!({"format": "png", "clip": clip, "captureBeyondViewport": true});
        let mut picture = self.call("Page.captureScreenshot", asked)?;
        let asked = json!({
            "expression": format!("({COUNT})({}, {})", picture["data"].take(), json!(colours)),
            "returnByValue": true,
            "awaitPromise": true,
        });
        let page = std::mem::replace(&mut self.session, self.looking.clone());
        let answer = self.call("Runtime.evaluate", asked);
        self.session = page;
        let answer = answer?;
        let counts: Vec<u64> = serde_json::from_value(answer["result"]["value"].clone())
            .with_context(|| format!("colours of {selector}: {answer}"))?;
        let (all, counts) = counts.split_last().context("a sum")?;
        Ok((counts.to_vec(), *all))
    }
}

/// A function of a picture and of colours as `#rrggbb`. A tab in the background draws nothing, so
/// that an `Image` might never be there.
const COUNT: &str = r#"async (picture, colours) => {
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const wanted = colours.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    const counts = [...colours.map(() => 0), data.length / 4];
    for (let at = 0; at < data.length; at += 4) {
        wanted.forEach((colour, position) => {
            if (colour.every((part, channel) => Math.abs(part - data[at + channel]) <= 6)) counts[position] += 1;
        });
    }
    return counts;
}"#;

/// Messages as they come.
fn read_messages(output: ChildStdout) -> Receiver<Value> {
    let (sender, messages) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(output).split(0) {
            let message = message.ok().and_then(|it| serde_json::from_slice(&it).ok());
            let sent = message.map(|message: Value| sender.send(message));
            if !matches!(sent, Some(Ok(()))) {
                return;
            }
        }
    });
    messages
}
