//! Commands as a person would type them: each is printed with what it says.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// What a command said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; 128 + signal if one ended it.
    pub code: i32,
}

impl Output {
    /// Fails unless the command succeeded.
    pub fn ok(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "`{}` exited with {}: {}",
            self.command,
            self.code,
            self.stderr.trim()
        );
        Ok(self)
    }

    /// Fails unless standard output contains `text`.
    pub fn says(self, text: &str) -> Result<Self> {
        ensure!(
            self.stdout.contains(text),
            "`{}` does not say {text:?}:\n{}{}",
            self.command,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// The rows of a table, without its header, each split into its columns.
    pub fn rows(&self) -> Vec<Vec<&str>> {
        self.stdout
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect()
    }
}

/// Where commands run: a directory, a kubeconfig and which kubectl `kubectl` means.
#[derive(Clone, Debug)]
pub struct Shell {
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

impl Shell {
    /// Commands run in `directory` with `environment` added to this process's own.
    pub fn new(directory: &Path, environment: Vec<(String, String)>) -> Self {
        Self {
            directory: directory.to_owned(),
            environment,
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(&self.directory)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs `line` and prints it with its output.
    pub fn run(&self, line: &str) -> Result<Output> {
        println!("$ {line}");
        let output = self.quietly(line)?;
        print!("{}{}", output.stdout, output.stderr);
        Ok(output)
    }

    /// Runs `line` without printing anything.
    pub fn quietly(&self, line: &str) -> Result<Output> {
        use std::os::unix::process::ExitStatusExt;
        let output = self
            .command(line)
            .output()
            .with_context(|| format!("running `{line}`"))?;
        let status = output.status;
        Ok(Output {
            command: line.to_owned(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        })
    }

    /// Starts `line` with its output piped and without input.
    pub fn spawn(&self, line: &str) -> Result<Child> {
        println!("$ {line} &");
        let mut command = self.command(line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
            .spawn()
            .with_context(|| format!("starting `{line}`"))
    }

    /// Runs `line` again and again until `wanted` is content with its output, for at most `limit`.
    pub fn until(
        &self,
        line: &str,
        limit: Duration,
        wanted: impl Fn(&Output) -> bool,
    ) -> Result<Output> {
        let deadline = Instant::now() + limit;
        loop {
            let output = self.quietly(line)?;
            if wanted(&output) {
                println!("$ {line}");
                print!("{}{}", output.stdout, output.stderr);
                return Ok(output);
            }
            if Instant::now() > deadline {
                bail!(
                    "after {limit:?} `{line}` still says:\n{}{}",
                    output.stdout,
                    output.stderr
                );
            }
            thread::yield_now();
        }
    }

    /// Starts a `kubectl get --watch` and collects its lines until it is stopped. Returns once the server has
    /// taken up the watch: `-v=6` makes kubectl tell of its requests on standard error.
    pub fn watch(&self, line: &str) -> Result<Background> {
        println!("$ {line} &");
        let mut command = self.command(&format!("exec {line} -v=6"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().context("no errors to read")?;
        let (sender, watching) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("watch=true") {
                    // Nobody listens any more after the first time.
                    let _ = sender.send(());
                }
            }
        });
        watching
            .recv_timeout(Duration::from_secs(30))
            .with_context(|| format!("`{line}` does not watch"))?;
        let stdout = child.stdout.take().context("no output to read")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                collected
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Ok(Background {
            child,
            lines,
            reader: Some(reader),
        })
    }
}

/// A command that goes on while others run.
#[derive(Debug)]
pub struct Background {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Background {
    /// Waits until `wanted` is content with what the command has said so far, for at most `limit`.
    pub fn until(&self, limit: Duration, wanted: impl Fn(&[String]) -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let lines = self
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if wanted(&lines) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "after {limit:?} the command has only said:\n{}",
                    lines.join("\n")
                );
            }
            thread::yield_now();
        }
    }

    /// Ends the command and returns, and prints, what it said.
    pub fn stop(mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        if let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            bail!("reading a command's output failed");
        }
        let lines = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for line in &lines {
            println!("| {line}");
        }
        Ok(lines)
    }
}
