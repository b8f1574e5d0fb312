//! Official downloads over HTTP.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use reqwest::{Client, Response};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::checksum::{self, Hasher};
use super::error::ToolError;
use super::options::{Mirrors, ToolOptions};
use super::progress::{Progress, Stage, ToolEvent};
use super::tool::Tool;
use super::versions::{Address, Checksum, Download, Host};

/// Checksum files and release descriptions are some ten kilobytes; more is not what was asked for.
const TEXT_LIMIT: usize = 4 << 20;

/// Progress is told at most so often.
const BYTES_EVERY: Duration = Duration::from_millis(100);

/// Why a download gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The next source may be tried.
    Unavailable(String),
    /// Not tried, since the host did not answer before; the next source may be tried.
    Skipped(String),
    /// Nothing else may be tried.
    Refused(ToolError),
}

/// What is known of a host in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Untried,
    Answers,
    Silent,
}

/// Downloads for one run; remembers which hosts do not answer.
#[derive(Debug)]
pub(crate) struct Downloader {
    client: Client,
    mirrors: Mirrors,
    answer_limit: Duration,
    hosts: BTreeMap<Host, Mutex<Reach>>,
}

impl Downloader {
    /// A client with the system's certificates and the proxies of the environment.
    pub(crate) fn new(options: &ToolOptions) -> Result<Self, ToolError> {
        let client = Client::builder()
            .user_agent(concat!("claimcheck/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_limit)
            .read_timeout(options.stall_limit)
            .build()
            .map_err(ToolError::Client)?;
        Ok(Self {
            client,
            mirrors: options.mirrors.clone(),
            answer_limit: options.answer_limit,
            hosts: Host::ALL
                .map(|host| (host, Mutex::new(Reach::Untried)))
                .into(),
        })
    }

    /// The full address.
    pub(crate) fn url(&self, address: &Address) -> String {
        format!("{}{}", self.mirrors.base(address.host), address.path)
    }

    /// Downloads to `target` and compares with the published checksum, which is returned. The
    /// checksum is fetched first: where none is published, nothing is downloaded.
    pub(crate) async fn fetch(
        &self,
        tool: Tool,
        download: &Download,
        target: &Utf8Path,
        progress: &dyn Progress,
    ) -> Result<String, Failure> {
        let (expected, publisher) = self.expected(download).await?;
        let url = self.url(&download.address);
        progress.on(
            tool.name(),
            ToolEvent::Started {
                stage: Stage::Download,
                detail: url.clone(),
            },
        );
        let response = self.get(&download.address).await?;
        let got = save(tool, response, target, progress)
            .await
            .map_err(|reason| Failure::Unavailable(format!("{url}: {reason}")))?;
        if got == expected {
            return Ok(expected);
        }
        Err(Failure::Refused(ToolError::WrongChecksum {
            tool,
            url,
            publisher,
            expected,
            got,
        }))
    }

    async fn expected(&self, download: &Download) -> Result<(String, String), Failure> {
        let name = download.file_name();
        let (Checksum::File(source) | Checksum::GithubDigest(source)) = &download.checksum;
        let url = self.url(source);
        let text = text(self.get(source).await?)
            .await
            .map_err(|reason| Failure::Unavailable(format!("{url}: {reason}")))?;
        let found = match &download.checksum {
            Checksum::File(_) => checksum::in_file(&text, name),
            Checksum::GithubDigest(_) => checksum::in_github_release(&text, name),
        };
        match found {
            Some(sum) => Ok((sum, url)),
            None => Err(Failure::Unavailable(format!(
                "{url} publishes no sha256 for {name}"
            ))),
        }
    }

    /// The head of a successful answer. The first request to a host is made alone: whether the
    /// host answers is found out once, and the other tools wait for that instead of trying too.
    async fn get(&self, address: &Address) -> Result<Response, Failure> {
        let url = self.url(address);
        let mut reach = self.hosts[&address.host].lock().await;
        match *reach {
            Reach::Silent => {
                let base = self.mirrors.base(address.host);
                return Err(Failure::Skipped(format!(
                    "{url}: not tried, {base} does not answer"
                )));
            }
            Reach::Answers => {
                drop(reach);
                let answer = self.send(&url).await;
                if answer.is_err() {
                    *self.hosts[&address.host].lock().await = Reach::Silent;
                }
                answer
            }
            Reach::Untried => {
                let answer = self.send(&url).await;
                *reach = if answer.is_ok() {
                    Reach::Answers
                } else {
                    Reach::Silent
                };
                answer
            }
        }
        .and_then(|response| match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(format!("the server answers {status}")),
        })
        .map_err(|reason| Failure::Unavailable(format!("{url}: {reason}")))
    }

    /// An answer of any status; an error when there is none.
    async fn send(&self, url: &str) -> Result<Response, String> {
        match tokio::time::timeout(self.answer_limit, self.client.get(url).send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(causes(&error.without_url())),
            Err(_) => Err(format!("no answer within {:?}", self.answer_limit)),
        }
    }
}

async fn text(mut response: Response) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| causes(&error.without_url()))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_LIMIT {
            return Err(format!("more than {TEXT_LIMIT} bytes for a checksum"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "the answer is not text".to_owned())
}

/// Writes the body to a file and gives its sha256.
async fn save(
    tool: Tool,
    mut response: Response,
    target: &Utf8Path,
    progress: &dyn Progress,
) -> Result<String, String> {
    let total = response.content_length();
    let write_error = |error: std::io::Error| format!("cannot write {target}: {error}");
    let mut file = tokio::fs::File::create(target).await.map_err(write_error)?;
    let mut hasher = Hasher::default();
    let mut done = 0;
    let mut told = Instant::now();
    progress.on(tool.name(), ToolEvent::Bytes { done, total });
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        let cause = causes(&error.without_url());
        match total {
            Some(total) => format!("broke off after {done} of {total} bytes: {cause}"),
            None => format!("broke off after {done} bytes: {cause}"),
        }
    })? {
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(write_error)?;
        done += chunk.len() as u64;
        if told.elapsed() >= BYTES_EVERY {
            told = Instant::now();
            progress.on(tool.name(), ToolEvent::Bytes { done, total });
        }
    }
    file.flush().await.map_err(write_error)?;
    progress.on(tool.name(), ToolEvent::Bytes { done, total });
    Ok(hasher.finish())
}

/// An HTTP error says little by itself, and its chain of causes says the same thing several times:
/// the innermost is what the system or the other side said.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    if error.is_connect() {
        format!("cannot connect: {innermost}")
    } else {
        innermost.to_string()
    }
}
