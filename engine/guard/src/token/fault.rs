//! Why a token is refused, rule by rule. A client learns the class only: see
//! [`refusal`](crate::refusal).

use crate::refusal::Refusal;

/// The rule that a token breaks. The numbers are those of `docs/security.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    /// Not three parts of base64url, or too long.
    #[error("V1: not a signed token in compact form, or longer than token_bytes_max")]
    Form,
    /// The header.
    #[error("V2: the header is no JSON object, repeats a member, or has one that is refused")]
    Header,
    /// The algorithm.
    #[error("V3: the algorithm is not allowed for this issuer")]
    Algorithm,
    /// The id of the key. A fresh key set may have it.
    #[error("V4: the issuer has no usable key with this id and algorithm")]
    UnknownKey,
    /// The signature.
    #[error("V5: the signature does not match")]
    Signature,
    /// The payload.
    #[error("V5: the claims are no JSON object, too deep, too many, or repeated")]
    Claims,
    /// The issuer.
    #[error("V6: iss is none of the configured issuers")]
    Issuer,
    /// The audience.
    #[error("V7: aud does not name this resource")]
    Audience,
    /// The expiry is absent or no number.
    #[error("V8: exp is absent or no number of seconds")]
    ExpiryForm,
    /// It has expired.
    #[error("V8: the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("V9: nbf or iat is in the future: compare the clocks")]
    NotYetValid,
    /// `nbf` or `iat` is no number.
    #[error("V9: nbf or iat is no number of seconds")]
    TimeForm,
    /// It was issued too long ago.
    #[error("V9: iat is older than token_age_max_s")]
    TooOld,
    /// The type.
    #[error("V10: typ is not at+jwt; if the issuer sends JWT or none, set profile = \"jwt\"")]
    Type,
    /// The subject.
    #[error("V11: sub is absent, longer than 200 bytes, or has control characters")]
    Subject,
    /// The scopes.
    #[error("V12: scope or scp is no list of at most 128 names of at most 128 bytes")]
    Scope,
    /// Roles, tenant, client or selected claims.
    #[error("V13: a configured claim has another type, or exceeds its limit")]
    Selected,
    /// The token is bound to a key that this connection does not prove.
    #[error("V14: the token is bound to another certificate, or in a way that is not supported")]
    Binding,
    /// It is on the deny list.
    #[error("V15: the token or its subject is revoked")]
    Revoked,
    /// An API key.
    #[error("the API key is unknown, expired, or not for this address")]
    ApiKey,
    /// The keys of the issuer were never loaded, or are too old; or it cannot be reached for an
    /// introspection.
    #[error("K4: the keys of the issuer are unavailable, or it cannot be reached")]
    KeysUnavailable,
    /// An opaque token: its issuer knows whether it is valid. Request an introspection.
    #[error("the token is opaque: its issuer must introspect it")]
    NotIntrospected,
    /// The issuer says that an opaque token is not valid.
    #[error("the issuer has no active token of this text")]
    Inactive,
}

impl TokenFault {
    /// The rules in the order in which a token meets them, each with its faults. The algorithm is
    /// looked at twice: whether it is known, and, after the issuer, whether it is allowed.
    pub const RULES: [(&str, &[TokenFault]); 16] = [
        ("V1 the compact form and its length", &[TokenFault::Form]),
        ("V2 the header", &[TokenFault::Header]),
        ("V3 the algorithm", &[TokenFault::Algorithm]),
        ("V5 the form of the claims", &[TokenFault::Claims]),
        ("V6 the issuer", &[TokenFault::Issuer]),
        (
            "V4 the key",
            &[TokenFault::KeysUnavailable, TokenFault::UnknownKey],
        ),
        ("V5 the signature", &[TokenFault::Signature]),
        ("V7 the audience", &[TokenFault::Audience]),
        ("V10 the type", &[TokenFault::Type]),
        (
            "V8 the expiry",
            &[TokenFault::ExpiryForm, TokenFault::Expired],
        ),
        (
            "V9 the start and the age",
            &[
                TokenFault::NotYetValid,
                TokenFault::TimeForm,
                TokenFault::TooOld,
            ],
        ),
        ("V11 the subject", &[TokenFault::Subject]),
        ("V12 the scopes", &[TokenFault::Scope]),
        (
            "V13 roles, tenant, client and selected claims",
            &[TokenFault::Selected],
        ),
        ("V14 the binding", &[TokenFault::Binding]),
        ("V15 revocation", &[TokenFault::Revoked]),
    ];

    /// The name of the rule in the audit log: its number, or a word.
    pub fn rule(self) -> &'static str {
        match self {
            TokenFault::Form => "V1",
            TokenFault::Header => "V2",
            TokenFault::Algorithm => "V3",
            TokenFault::UnknownKey => "V4",
            TokenFault::Signature | TokenFault::Claims => "V5",
            TokenFault::Issuer => "V6",
            TokenFault::Audience => "V7",
            TokenFault::ExpiryForm | TokenFault::Expired => "V8",
            TokenFault::NotYetValid | TokenFault::TimeForm | TokenFault::TooOld => "V9",
            TokenFault::Type => "V10",
            TokenFault::Subject => "V11",
            TokenFault::Scope => "V12",
            TokenFault::Selected => "V13",
            TokenFault::Binding => "V14",
            TokenFault::Revoked => "V15",
            TokenFault::KeysUnavailable => "K4",
            TokenFault::ApiKey => "api_key",
            TokenFault::NotIntrospected => "not_introspected",
            TokenFault::Inactive => "inactive",
        }
    }

    /// The answer to the client.
    pub fn refusal(self) -> Refusal {
        match self {
            TokenFault::Expired => Refusal::Expired,
            TokenFault::NotYetValid => Refusal::NotYetValid,
            TokenFault::KeysUnavailable | TokenFault::NotIntrospected => Refusal::Unavailable,
            _ => Refusal::InvalidToken,
        }
    }

    /// Whether a client that guesses credentials gets this: the signature or the API key is wrong.
    /// A client with a right token of another time or place does not; nor does one whose key is
    /// unknown, which is that of every right client while an issuer changes its keys.
    pub fn is_guess(self) -> bool {
        matches!(
            self,
            TokenFault::Form
                | TokenFault::Header
                | TokenFault::Algorithm
                | TokenFault::Signature
                | TokenFault::Claims
                | TokenFault::Issuer
                | TokenFault::ApiKey
                | TokenFault::Inactive
        )
    }

    /// Whether the same token gets the same answer for the next seconds, on every connection.
    pub(super) fn is_lasting(self) -> bool {
        !matches!(
            self,
            TokenFault::UnknownKey
                | TokenFault::NotYetValid
                | TokenFault::Binding
                | TokenFault::ApiKey
                | TokenFault::KeysUnavailable
                | TokenFault::NotIntrospected
        )
    }
}
