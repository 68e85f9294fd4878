//! The head of an answer, with the fields that a client of MCP needs.
//!
//! Invariant: a head has exactly one length. It lacks the other fields: they are dropped.

use super::response_fault::{RESPONSE_HEAD_BYTES_MAX, ResponseFault};

/// The most fields of a response head.
const FIELDS_MAX: usize = 100;

/// The parsed head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Status code, 100 to 999.
    pub status: u16,
    /// The media type of the body.
    pub media_type: MediaType,
    /// `Mcp-Session-Id`, if it is there.
    pub session: Option<String>,
    /// Whether the connection ends with this answer.
    pub closes: bool,
    /// The time that the server keeps an idle connection, in seconds, if it advertises one: the
    /// parameter `timeout` of `Keep-Alive`. More than 65,535 s is 65,535 s.
    pub keep_alive_s: Option<u16>,
    /// The seconds of `Retry-After`, if it has any (RFC 9110 10.2.3). A date is passed over. More
    /// than 65,535 s is 65,535 s.
    pub retry_after_s: Option<u16>,
    pub(super) length: BodyLength,
}

/// The media type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// One message of JSON.
    Json,
    /// Events, each with a message.
    Events,
    /// Something else; it is passed over.
    Other,
}

impl MediaType {
    /// The media type that a `Content-Type` names; parameters and case make no difference.
    ///
    /// ```
    /// use corelane_protocol::framing::http1::MediaType;
    /// assert_eq!(MediaType::of("application/json; charset=utf-8"), MediaType::Json);
    /// ```
    pub fn of(content_type: &str) -> MediaType {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("application/json") {
            MediaType::Json
        } else if name.eq_ignore_ascii_case("text/event-stream") {
            MediaType::Events
        } else {
            MediaType::Other
        }
    }
}

/// How long a body is (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
    UntilClose,
}

/// The head at the start of `input` and its length in bytes; nothing if it is not whole.
pub(super) fn parse_head(input: &[u8]) -> Result<Option<(AnswerHead, usize)>, ResponseFault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let bytes = match response.parse(input) {
        Ok(httparse::Status::Complete(bytes)) if bytes <= RESPONSE_HEAD_BYTES_MAX => bytes,
        Ok(httparse::Status::Partial) if input.len() <= RESPONSE_HEAD_BYTES_MAX => {
            return Ok(None);
        }
        Ok(_) => return Err(ResponseFault::HeadBytes),
        Err(_) => return Err(ResponseFault::Head),
    };
    let fields = Fields(response.headers);
    let length = fields.length()?;
    if let Some(coding) = fields.first("content-encoding")
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(ResponseFault::Coding);
    }
    let is_old = response.version == Some(0);
    let head = AnswerHead {
        status: response.code.ok_or(ResponseFault::Head)?,
        media_type: fields
            .first("content-type")
            .map_or(MediaType::Other, MediaType::of),
        session: fields.first("mcp-session-id").map(str::to_owned),
        closes: length == BodyLength::UntilClose
            || fields.has_token("connection", "close")
            || is_old && !fields.has_token("connection", "keep-alive"),
        keep_alive_s: fields.keep_alive_s(),
        retry_after_s: fields
            .first("retry-after")
            .and_then(|it| it.parse::<u64>().ok())
            .map(|seconds| u16::try_from(seconds).unwrap_or(u16::MAX)),
        length,
    };
    Ok(Some((head, bytes)))
}

/// The fields of a head.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = Option<&'a str>> {
        let fields = self.0.iter();
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| str::from_utf8(field.value).ok().map(str::trim))
    }

    fn first(&self, name: &'static str) -> Option<&'a str> {
        self.all(name).next().flatten()
    }

    fn has_token(&self, name: &'static str, token: &str) -> bool {
        let mut words = self.all(name).flatten().flat_map(|value| value.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(token))
    }

    /// `Keep-Alive: timeout=5, max=1000` (RFC 2068 19.7.1.1).
    fn keep_alive_s(&self) -> Option<u16> {
        let mut parameters = self
            .all("keep-alive")
            .flatten()
            .flat_map(|it| it.split(','));
        let timeout = parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case("timeout");
            is_it.then(|| value.trim().parse::<u64>().ok()).flatten()
        });
        timeout.map(|seconds| u16::try_from(seconds).unwrap_or(u16::MAX))
    }

    /// The one length. Equal lengths in several lines are refused too: no server needs them.
    fn length(&self) -> Result<BodyLength, ResponseFault> {
        let mut codings = self.all("transfer-encoding");
        let mut lengths = self.all("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(BodyLength::UntilClose),
            (Some(_), Some(_)) => Err(ResponseFault::Framing),
            (Some(coding), None) => {
                let is_chunked = coding.is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
                let is_usable = is_chunked && codings.next().is_none();
                is_usable
                    .then_some(BodyLength::Chunked)
                    .ok_or(ResponseFault::Coding)
            }
            (None, Some(digits)) => {
                let is_number = |it: &&str| it.bytes().all(|byte| byte.is_ascii_digit());
                let digits = digits
                    .filter(is_number)
                    .filter(|_| lengths.next().is_none());
                let bytes = digits.and_then(|digits| digits.parse().ok());
                bytes.map(BodyLength::Bytes).ok_or(ResponseFault::Framing)
            }
        }
    }
}
