//! The peer of a connection that was looked up before its first byte was read.

use std::io::Write;

use super::holder::HolderKey;

/// The longest name of a user.
const USER_BYTES_MAX: usize = "unix:uid=4294967295".len();

/// A peer, as far as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownPeer {
    /// An anonymous one, with the holder that its address makes.
    Anonymous(HolderKey),
    /// A process of a user of this host.
    User(UserName),
}

/// A user of this host as a principal, such as `unix:uid=1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserName(u32);

/// The text of a [`UserName`].
pub(crate) struct UserText {
    bytes: [u8; USER_BYTES_MAX],
    length: usize,
}

impl UserName {
    /// The user with this number.
    pub(crate) fn of(user: u32) -> UserName {
        UserName(user)
    }

    /// Its text, without an allocation.
    pub(crate) fn text(self) -> UserText {
        let mut bytes = [0; USER_BYTES_MAX];
        let mut rest = &mut bytes[..];
        write!(rest, "unix:uid={}", self.0).expect("the longest name fits");
        let length = USER_BYTES_MAX - rest.len();
        UserText { bytes, length }
    }
}

impl UserText {
    /// As a principal.
    pub(crate) fn as_str(&self) -> &str {
        let text = str::from_utf8(&self.bytes[..self.length]);
        text.expect("it consists of ASCII characters")
    }
}

#[cfg(test)]
mod tests {
    use super::UserName;

    #[test]
    fn a_user_is_named_by_the_number() {
        for (user, expected) in [
            (0, "unix:uid=0"),
            (1000, "unix:uid=1000"),
            (u32::MAX, "unix:uid=4294967295"),
        ] {
            assert_eq!(UserName::of(user).text().as_str(), expected);
        }
    }
}
