//! Requests with an ambiguous length: always refused.

use super::super::Refusal;
use super::refused::check;
use crate::limits::HttpLimits;

/// Fields that leave the end of the body in doubt, by refusal and status.
const DOUBTFUL_LENGTHS: &[(Refusal, u16, &[&str])] = &[
    (
        Refusal::LengthAndCoding,
        400,
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            "Transfer-Encoding: gzip\r\nContent-Length: 5",
            "Content-Length: x\r\nContent-Length: 5\r\nTransfer-Encoding: x",
        ],
    ),
    (
        Refusal::RepeatedContentLength,
        400,
        &[
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\ncontent-length: 6",
            "Content-Length: 5, 5",
        ],
    ),
    (
        Refusal::InvalidContentLength,
        400,
        &[
            "Content-Length:",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 5 5",
            "Content-Length: 0x5",
            "Content-Length: 5.0",
            "Content-Length: \u{665}",
            "Content-Length: 18446744073709551616",
            "Content-Length: 99999999999999999999999999999999999999999999",
        ],
    ),
    (
        Refusal::UnknownTransferCoding,
        501,
        &[
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: \"chunked\"",
        ],
    ),
    (
        Refusal::InvalidTransferEncoding,
        400,
        &[
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: , chunked",
            "Transfer-Encoding:",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ],
    ),
    (
        Refusal::MalformedHeader,
        400,
        &[
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: \x0bchunked",
        ],
    ),
];

#[test]
fn refuses_every_doubt_about_the_length_of_the_body() {
    for &(refusal, status, cases) in DOUBTFUL_LENGTHS {
        for fields in cases {
            let input = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
            check(input.as_bytes(), &HttpLimits::DEFAULT, refusal, status);
        }
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(
        old,
        &HttpLimits::DEFAULT,
        Refusal::TransferEncodingInOldVersion,
        400,
    );
}
