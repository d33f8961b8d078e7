//! What is locked, by whom, and what signs it.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::limits::{OWNER_BYTES, TOKEN_BYTES, TOKEN_HEX_DIGITS, TOKEN_RANDOM_BYTES};

/// What the proxy's own records begin with (behind the configured prefix); no lock may be named so.
pub const RESERVED_PREFIX: &[u8] = b"redlock-proxy:";

/// What the key of a lock's fencing counter begins with (behind the configured prefix); the lock's name follows.
pub const FENCE_PREFIX: &[u8] = b"redlock-proxy:fence:";

/// Why a name is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// The resource's name is longer than the limit, which is given in bytes.
    ResourceTooLong(usize),
    /// The resource's name begins with [`RESERVED_PREFIX`].
    ResourceReserved,
    /// The owner's name is empty or longer than [`OWNER_BYTES`].
    Owner,
    /// The token is empty or longer than [`TOKEN_BYTES`].
    Token,
}

/// What is locked: the key as the client named it, without the configured prefix. Binary safe, may be empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource(Bytes);

impl Resource {
    /// A name of at most `longest` bytes that is not one of the proxy's own.
    pub fn new(name: Bytes, longest: usize) -> Result<Self, NameError> {
        if name.len() > longest {
            Err(NameError::ResourceTooLong(longest))
        } else if name.starts_with(RESERVED_PREFIX) {
            Err(NameError::ResourceReserved)
        } else {
            Ok(Self(name))
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same name in memory of its own, for what outlives the request: a slice would keep the whole read buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource(\"{}\")", self.0.escape_ascii())
    }
}

/// Who asks: a name that makes a retry safe. 1 to 200 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Owner(Bytes);

impl Owner {
    pub fn new(name: Bytes) -> Result<Self, NameError> {
        if name.is_empty() || name.len() > OWNER_BYTES { Err(NameError::Owner) } else { Ok(Self(name)) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same name in memory of its own (see [`Resource::detached`]).
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Whether `value` is a record that this owner signed: the name, a colon and the hex digits, nothing else.
    pub fn signed(&self, value: &[u8]) -> bool {
        value
            .strip_prefix(self.as_bytes())
            .and_then(|rest| rest.strip_prefix(b":"))
            .is_some_and(|digits| digits.len() == TOKEN_HEX_DIGITS && digits.iter().copied().all(is_lower_hex))
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner(\"{}\")", self.0.escape_ascii())
    }
}

/// The value that signs a lock: whoever knows it may extend and release. Its `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Bytes);

impl Token {
    /// A token that a client handed in: 1 to 256 bytes, whatever they are.
    pub fn new(token: Bytes) -> Result<Self, NameError> {
        if token.is_empty() || token.len() > TOKEN_BYTES { Err(NameError::Token) } else { Ok(Self(token)) }
    }

    /// The token of a new attempt: 40 lower-case hex digits of `random`, behind `name:` when there is an owner.
    pub fn sign(owner: Option<&Owner>, random: [u8; TOKEN_RANDOM_BYTES]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut token = BytesMut::with_capacity(owner.map_or(0, |o| o.0.len() + 1) + TOKEN_HEX_DIGITS);
        if let Some(owner) = owner {
            token.extend_from_slice(owner.as_bytes());
            token.extend_from_slice(b":");
        }
        for byte in random {
            token.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self(token.freeze())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The owner's name in a record's value that looks like a token signed for an owner.
    pub fn owner_in(value: &[u8]) -> Option<&[u8]> {
        let (name, digits) = value.split_at_checked(value.len().checked_sub(TOKEN_HEX_DIGITS)?)?;
        let name = name.strip_suffix(b":").filter(|name| !name.is_empty() && name.len() <= OWNER_BYTES)?;
        digits.iter().copied().all(is_lower_hex).then_some(name)
    }

    /// The same token in memory of its own (see [`Resource::detached`]).
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

/// A lock's name and the token that signs it, in one piece of memory of their own: for what is kept for long, and often.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Packed {
    bytes: Box<[u8]>,
    resource_bytes: u32,
}

impl Packed {
    pub fn new(resource: &Resource, token: &Token) -> Self {
        // No name is nearly as long (`limits::KEY_BYTES`).
        let resource_bytes = u32::try_from(resource.0.len()).unwrap_or(u32::MAX);
        Self { bytes: [resource.as_bytes(), token.as_bytes()].concat().into(), resource_bytes }
    }

    /// The name and the token, sharing one copy.
    pub fn unpack(&self) -> (Resource, Token) {
        let mut resource = Bytes::copy_from_slice(&self.bytes);
        let token = resource.split_off(self.resource_bytes());
        (Resource(resource), Token(token))
    }

    /// The name's bytes.
    pub fn resource(&self) -> &[u8] {
        &self.bytes[..self.resource_bytes()]
    }

    /// The token's bytes.
    pub fn token(&self) -> &[u8] {
        &self.bytes[self.resource_bytes()..]
    }

    fn resource_bytes(&self) -> usize {
        (self.resource_bytes as usize).min(self.bytes.len())
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed(\"{}\")", self.resource().escape_ascii())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &'static str) -> Owner {
        Owner::new(Bytes::from_static(name.as_bytes())).expect("a valid owner")
    }

    #[test]
    fn a_token_is_forty_lower_case_hex_digits_behind_its_owner() {
        let random: [u8; 20] = std::array::from_fn(|i| u8::try_from(i * 13).expect("small"));
        let plain = Token::sign(None, random);
        assert_eq!(plain.as_bytes(), b"000d1a2734414e5b6875828f9ca9b6c3d0ddeaf7");
        let owned = Token::sign(Some(&owner("worker 7")), random);
        assert_eq!(owned.as_bytes(), b"worker 7:000d1a2734414e5b6875828f9ca9b6c3d0ddeaf7");
    }

    #[test]
    fn an_owner_knows_its_own_signature_and_no_other() {
        let random = [0xab; 20];
        assert!(owner("a").signed(Token::sign(Some(&owner("a")), random).as_bytes()));
        assert!(!owner("a").signed(Token::sign(None, random).as_bytes()));
        assert!(!owner("a").signed(Token::sign(Some(&owner("ab")), random).as_bytes()));
        // Owner `a:b`'s token begins with `a:`, but what follows is not 40 digits.
        assert!(!owner("a").signed(Token::sign(Some(&owner("a:b")), random).as_bytes()));
        assert!(!owner("a").signed(b"a:"));
        assert!(!owner("a").signed(&[b"a:".as_slice(), &[b'A'; 40]].concat()));
        assert!(!owner("a").signed(&[b"a:".as_slice(), &[b'0'; 41]].concat()));
    }

    #[test]
    fn names_out_of_bounds_are_refused() {
        assert_eq!(Resource::new(Bytes::from(vec![b'k'; 5]), 4), Err(NameError::ResourceTooLong(4)));
        assert_eq!(Resource::new(Bytes::from_static(b"redlock-proxy:x"), 99), Err(NameError::ResourceReserved));
        assert!(Resource::new(Bytes::new(), 4).is_ok());
        assert_eq!(Owner::new(Bytes::new()), Err(NameError::Owner));
        assert_eq!(Owner::new(Bytes::from(vec![b'o'; 201])), Err(NameError::Owner));
        assert!(Owner::new(Bytes::from(vec![0; 200])).is_ok());
        assert_eq!(Token::new(Bytes::new()), Err(NameError::Token));
        assert_eq!(Token::new(Bytes::from(vec![b't'; 257])), Err(NameError::Token));
    }

    #[test]
    fn what_was_packed_is_what_comes_out() {
        for (name, token) in [("", "t"), ("a", "bc"), ("ab", "c")] {
            let resource = Resource::new(Bytes::from_static(name.as_bytes()), 4).expect("short");
            let token = Token::new(Bytes::from_static(token.as_bytes())).expect("short");
            let packed = Packed::new(&resource, &token);
            assert_eq!(packed.unpack(), (resource.clone(), token.clone()));
            assert_eq!((packed.resource(), packed.token()), (resource.as_bytes(), token.as_bytes()));
            assert_eq!(format!("{packed:?}"), format!("Packed(\"{name}\")"));
        }
    }

    #[test]
    fn the_same_bytes_split_elsewhere_are_another_lock() {
        let pack = |name: &'static str, token: &'static str| {
            let resource = Resource::new(Bytes::from_static(name.as_bytes()), 4).expect("short");
            Packed::new(&resource, &Token::new(Bytes::from_static(token.as_bytes())).expect("short"))
        };
        assert_ne!(pack("a", "bc"), pack("ab", "c"));
        assert_eq!(pack("a", "bc"), pack("a", "bc"));
    }

    #[test]
    fn a_token_never_shows_itself() {
        let token = Token::sign(Some(&owner("worker")), [7; 20]);
        assert_eq!(format!("{token:?}"), "Token(<redacted>)");
    }
}
