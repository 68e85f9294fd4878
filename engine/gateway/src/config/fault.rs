//! The faults of a configuration of upstreams.

use corelane_guard::finding::Findings;
use corelane_guard::policy::PatternDefect;

use super::{ADDRESSES_MAX, UPSTREAMS_MAX};

/// The configuration is not in use, for all the faults that were found.
pub type UpstreamsError = Findings<Fault>;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is no TOML, or a key is unknown or of another type.
    #[error("{0}")]
    Syntax(String),
    /// There are too many upstreams.
    #[error("there are more than {UPSTREAMS_MAX} upstreams: run several gateways")]
    TooMany,
    /// A name has other characters.
    #[error(
        "invalid name {0:?}: use 1 to 32 lower-case letters, digits and hyphens, and begin with \
         a letter or digit"
    )]
    Name(String),
    /// Two upstreams have one name.
    #[error("two upstreams are named {0:?}: exposed names and metrics need a name of each")]
    NameTwice(String),
    /// It is nowhere, or at several kinds of places.
    #[error("give exactly one of url, urls and command")]
    Place,
    /// A list is empty or too long.
    #[error("give 1 to {ADDRESSES_MAX} addresses")]
    Addresses,
    /// An address cannot be used.
    #[error("{0}")]
    Target(#[from] super::target::TargetError),
    /// A program has no name.
    #[error("command is empty: give the program and its arguments, each as a text of its own")]
    Command,
    /// A key is about a program, and there is none.
    #[error("{0} is about a program: remove it, or give command instead of an address")]
    NoProgram(&'static str),
    /// A key is about HTTP, and the upstream speaks lines.
    #[error("{0} is about HTTP: this upstream has no header fields")]
    NoFields(&'static str),
    /// A key is about certificates, and there are none.
    #[error("{0} is about certificates: give an address with https")]
    NoTls(&'static str),
    /// A certificate has no key, or a key no certificate.
    #[error("client_cert and client_key belong together: give both")]
    CertificateWithoutKey,
    /// Several programs have no sessions in common.
    #[error("processes = {0} needs sessions = \"shared\": each process has sessions of its own")]
    Processes(u16),
    /// A number of processes.
    #[error("give 1 to 64 processes")]
    ProcessCount,
    /// A prefix makes invalid names.
    #[error(
        "invalid prefix {0:?}: use at most 24 letters, digits, \"_\", \".\" and \"-\" of ASCII"
    )]
    Prefix(String),
    /// An exposed name is invalid.
    #[error("invalid name {0:?}: use 1 to 64 letters, digits, \"_\", \".\" and \"-\" of ASCII")]
    ExposedName(String),
    /// A tool has two sections.
    #[error("the tool {0:?} has two sections: join them")]
    ToolTwice(String),
    /// A pattern is wrong.
    #[error("the pattern {0:?} {1}")]
    Pattern(String, PatternDefect),
    /// A scheme is wrong.
    #[error("invalid scheme {0:?}: write it without a colon, such as \"repo\"")]
    Scheme(String),
    /// A header field is not for a configuration.
    #[error(
        "the field {0:?} cannot be set here: it is made for each request, or its name is invalid"
    )]
    Field(String),
    /// A value would end the field.
    #[error("the value of {0:?} has control characters")]
    FieldValue(String),
    /// A field with a secret has the secret itself.
    #[error(
        "the value of {0:?} stands in the file: write it to a file of its own and give \
         \"file:PATH\", or give \"env:NAME\""
    )]
    InlineSecret(String),
    /// A credential has no proof, or two.
    #[error("give client_secret or private_key of the credential, and not both")]
    Proof,
    /// Tokens of clients are exchanged, and clients share what one of them is for.
    #[error("token_exchange has a token of each client: remove sessions = \"shared\"")]
    SharedExchange,
    /// Tokens of clients are exchanged for an upstream that takes none with each request.
    #[error("token_exchange needs an upstream of Streamable HTTP: give it at http or https")]
    ExchangeTarget,
    /// The place of tokens cannot be used.
    #[error("invalid token_url {0:?}: write https://HOST/PATH")]
    TokenUrl(String),
    /// A field would be there twice.
    #[error("the field {0:?} is there twice: name it in credential, headers or forward_headers")]
    FieldTwice(String),
    /// A variable has no valid name.
    #[error("invalid variable {0:?}: use letters, digits and \"_\"")]
    Variable(String),
}
