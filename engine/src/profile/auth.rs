//! Knobs of access control: the sizes and times of it. Who may do what is in the file that
//! `server.access_file` names.

use super::knobs::{knobs, within};

knobs! {
    /// Sizes and times of access control, if `server.access_file` is set. A shard counts for
    /// itself.
    #[derive(Copy, Eq)]
    Auth as "auth" {
        /// Longest access token, in bytes. A longer one is refused with 400. With its header it
        /// must be below `http.head_bytes_max`.
        token_bytes_max: usize = 8192, within(64..=65_536), restart;
        /// Verified tokens that are kept, so that the next request with one costs no signature.
        /// Each takes about 400 bytes.
        cache_entries_max: usize = 16_384, within(1..=10_000_000), restart;
        /// Refused tokens that are kept, for ten seconds each.
        refused_entries_max: usize = 4096, within(1..=1_000_000), restart;
        /// Milliseconds that a verified token is kept at most: as long as a key that its issuer
        /// withdraws may still be used.
        cache_ttl_ms: u64 = 300_000, within(1000..=86_400_000), restart;
        /// Tokens that are verified in one turn. A check of a signature takes 50 to 200
        /// microseconds; requests past it wait for the next turn, and all others go on.
        signature_checks_per_turn: u32 = 2, within(1..=1000), restart;
        /// Requests that wait for a key that their issuer has to be fetched from. Past it a request
        /// with an unknown key gets 503.
        key_waits_max: usize = 256, within(1..=1_000_000), restart;
        /// Milliseconds that such a request waits.
        key_wait_ms: u64 = 2000, within(10..=60_000), restart;
        /// Classes of identities, such as those of one role and one set of scopes, whose visible
        /// entries are kept. Each takes 8 bits for each entry of the catalog.
        views_max: usize = 4096, within(1..=1_000_000), restart;
        /// Seconds that the clocks of the server and of an issuer may differ by: a token is taken
        /// for so long after its end and before its start.
        leeway_s: u64 = 60, within(0..=300), restart;
        /// Seconds that keys are used after the last fetch of them. Then the tokens of their issuer
        /// are refused with 503.
        keys_age_max_s: u64 = 86_400, within(60..=2_592_000), restart;
        /// Seconds between two fetches of the keys of an issuer for tokens with unknown keys, at
        /// least: anybody can send such tokens.
        refresh_interval_min_s: u64 = 30, within(1..=3600), restart;
        /// Issuers in the access file. A file with more is refused.
        issuers_max: usize = 16, within(1..=1000), restart;
        /// API keys in the access file. A file with more is refused.
        api_keys_max: usize = 10_000, within(1..=10_000), restart;
    }
}
