//! How a server is named: `host:port`, `[::1]:6379`, `redis://user:password@host/db`, `unix:/path`.
//!
//! Two spellings of one address are one address (hosts in lower case, IPv6 in its canonical form), since a primary
//! that is named twice must not vote twice. Names are not resolved here. Errors quote nothing that may be a password,
//! and in `redis://user:password`, its host forgotten, that is what stands where the port should.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Where a server listens, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host's name or IP address, and a port.
    Tcp {
        /// An IPv6 host stands without its brackets.
        host: String,
        /// 0 only for listening: any free port.
        port: u16,
    },
    /// A Unix-domain socket's absolute path.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can reach it. A name other than `localhost` may stand for anything.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    /// As errors and logs name it: `10.0.0.2:6379`, `[::1]:6379`, `unix:/run/dragonfly.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no address: what is wrong with it and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

fn refuse<T>(text: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError(text.into()))
}

impl FromStr for Address {
    type Err = AddressError;

    /// An address to listen on: no credentials, no database.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let endpoint = Endpoint::from_str(text)?;
        if endpoint.user.is_some() || endpoint.password.is_some() {
            return refuse("an address to listen on has no user and no password; clients' password is `auth.password`");
        }
        if endpoint.database != 0 {
            return refuse("an address to listen on has no database; write it without the path");
        }
        Ok(endpoint.address)
    }
}

/// A password; its `Debug` and `Display` show `<redacted>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides the text from whoever prints it.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The password itself, for the one who must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A server to connect to: address, credentials, database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// The user to say with AUTH; the server's default user when there is none.
    pub user: Option<String>,
    /// The password to say with AUTH; none: AUTH is not said.
    pub password: Option<Secret>,
    /// The database to SELECT; 0 is where a connection begins.
    pub database: u32,
}

impl FromStr for Endpoint {
    type Err = AddressError;

    /// Any of the forms. A port that is 0 is taken as well: only a listener may have it, and only its caller knows.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return refuse("an empty address; write `host:port`");
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self { address: unix(path)?, user: None, password: None, database: 0 });
        }
        match text.split_once("://") {
            Some(("redis", rest)) => url(rest),
            Some(("rediss", _)) => refuse("`rediss://`: TLS is not supported yet; write `redis://`"),
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                refuse(format!("`{scheme}://` is not known; write `host:port`, `redis://host:port` or `unix:/path`"))
            }
            Some(_) | None if text.contains('@') => {
                refuse("a user or a password needs the form `redis://user:password@host:port`")
            }
            Some(_) | None => Ok(Self { address: host_and_port(text, None)?, user: None, password: None, database: 0 }),
        }
    }
}

/// `/run/redis.sock`, or `///run/redis.sock` of a URL.
fn unix(path: &str) -> Result<Address, AddressError> {
    if !path.starts_with('/') {
        return refuse(format!("`unix:{path}` is not absolute; write `unix:/path`"));
    }
    let path = format!("/{}", path.trim_start_matches('/'));
    match UnixAddress::from_pathname(&path) {
        Ok(_) if path.len() > 1 => Ok(Address::Unix(path.into())),
        Ok(_) => refuse("`unix:/` names no socket; write `unix:/path`"),
        Err(error) => refuse(format!("`unix:{path}` is not a socket's path: {error}")),
    }
}

/// What follows `redis://`: `[user:password@]host[:port][/database]`.
fn url(rest: &str) -> Result<Endpoint, AddressError> {
    // The last `@`: an unencoded one in a password is a common slip, and harmless.
    let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(before, after)| (Some(before), after));
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    if place.contains(['?', '#']) || path.contains(['?', '#']) {
        return refuse("options behind `?` or `#` are not supported; write `redis://user:password@host:port/database`");
    }
    let database = match path {
        "" => 0,
        number if number.bytes().all(|b| b.is_ascii_digit()) => number
            .parse()
            .map_err(|_| AddressError("the database's number is too large; write one such as `/0`".to_owned()))?,
        _ => return refuse("the database is not a number; write one such as `/0`"),
    };
    let (user, password) = match credentials {
        Some(credentials) => {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            (decode(user, "user")?, decode(password, "password")?.map(Secret::new))
        }
        None => (None, None),
    };
    Ok(Endpoint { address: host_and_port(place, Some(6379))?, user, password, database })
}

/// Percent-decoded; `None` when it is empty.
fn decode(text: &str, what: &str) -> Result<Option<String>, AddressError> {
    let valid = text.split('%').skip(1).all(|code| code.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    match percent_decode_str(text).decode_utf8() {
        _ if !valid => refuse(format!("a `%` in the {what} that begins no code; write `%25` for a percent sign")),
        Ok(decoded) => Ok(Some(decoded.into_owned()).filter(|decoded| !decoded.is_empty())),
        Err(_) => refuse(format!("the {what} is not UTF-8 once its `%` codes are decoded")),
    }
}

/// `host:port`, where the port may be left out if there is a default.
fn host_and_port(text: &str, default_port: Option<u16>) -> Result<Address, AddressError> {
    let (host, port) = if let Some(inside) = text.strip_prefix('[') {
        let Some((host, after)) = inside.split_once(']') else {
            return refuse(format!("`{text}` opens a bracket that is not closed; write `[::1]:6379`"));
        };
        let address = host.split('%').next().unwrap_or(host).parse::<Ipv6Addr>();
        let Ok(address) = address else {
            return refuse(format!(
                "`{host}` is not an IPv6 address; only those stand in brackets, as in `[::1]:6379`"
            ));
        };
        let zone = host.split_once('%').map(|(_, zone)| format!("%{zone}")).unwrap_or_default();
        let port = match after.strip_prefix(':') {
            None if !after.is_empty() => {
                return refuse(format!("`{after}` behind the bracket; write `[{host}]:6379`"));
            }
            port => port,
        };
        (format!("{address}{zone}"), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if port.is_some_and(|port| port.contains(':')) {
            return refuse("more than one colon; an IPv6 address stands in brackets: `[::1]:6379`");
        }
        (host_name(host)?, port)
    };
    let port = match (port, default_port) {
        (Some(digits), _) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| AddressError("the port is too large; write 1 to 65535".to_owned()))?
        }
        (Some(_), _) => return refuse("the port is not a number; write 1 to 65535"),
        (None, Some(port)) => port,
        (None, None) if host.bytes().all(|b| b.is_ascii_digit()) => {
            return refuse(format!("`{host}` has no host; write `127.0.0.1:{host}`"));
        }
        (None, None) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            return refuse(format!("`{host}` has no port; write `{host}:6379`"));
        }
    };
    Ok(Address::Tcp { host, port })
}

fn host_name(host: &str) -> Result<String, AddressError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    match host {
        "" => {
            refuse("no host in front of the port; write `127.0.0.1:6379`, or `0.0.0.0:6379` for all of this machine's")
        }
        "*" => refuse("`*` is not a host; write `0.0.0.0:6379`, or `[::]:6379`"),
        host if host.bytes().all(fits) => Ok(host.to_ascii_lowercase()),
        host => refuse(format!("`{host}` is not a host's name; letters, digits, `-`, `.` and `_` are")),
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
