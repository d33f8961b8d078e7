//! Servers: where to listen, the primaries, the upstream.
//!
//! Each entry of a list has a place of its own, and one that is wrong does not keep the others from being read.

use std::str::FromStr;

use super::address::{Address, Endpoint, Secret};
use super::error::Finding;
use super::keys::{Key, Kind};
use super::raw::{Raw, Step};
use super::read::{Values, misread, secret, text};
use super::settings::{Given, Origin, named};
use super::show::{Shown, quote};

/// One entry of a list: what was written, and where.
struct Entry<'a> {
    key: &'a Key,
    value: Raw,
    origin: Origin,
    part: Vec<Step>,
}

/// A server as it was written, its fields read one by one.
#[derive(Default)]
struct Fields {
    address: Option<Endpoint>,
    user: Option<String>,
    password: Option<Secret>,
    password_file: Option<String>,
}

impl Values {
    /// Addresses to listen on.
    pub(super) fn listen(&mut self, key: &'static Key) -> Vec<Address> {
        let Kind::Listen(most, default) = &key.kind else { misread(key) };
        let entries = self.entries(key, *most, default);
        let mut listen: Vec<Address> = Vec::new();
        if entries.is_none() {
            listen.extend(Address::from_str(default).ok());
        }
        for entry in entries.unwrap_or_default() {
            let address =
                text(&entry.value).and_then(|text| Address::from_str(text).map_err(|error| error.to_string()));
            let any_port = matches!(address, Ok(Address::Tcp { port: 0, .. }));
            match address {
                Ok(address) if any_port || !listen.contains(&address) => listen.push(address),
                Ok(address) => self.wrong_entry(&entry, format!("{address} is listed twice; keep one")),
                Err(text) => self.wrong_entry(&entry, text),
            }
        }
        let lines = listen.iter().map(|address| format!("- {}", quote(&address.to_string()))).collect();
        self.show_list(key, lines);
        listen
    }

    /// The primaries. Empty only where something was wrong.
    pub(super) fn primaries(&mut self, key: &'static Key) -> Vec<Endpoint> {
        let Kind::Primaries(most) = &key.kind else { misread(key) };
        if !self.is_given(key) {
            if let Some(place) = self.settings.place_of_missing() {
                let text = "none is named; name them with --primary, or try `redlock-proxy dev`";
                self.problems.push(Finding::new(place, key.path, text));
            }
            return Vec::new();
        }
        let mut primaries: Vec<Endpoint> = Vec::new();
        let mut lines = Vec::new();
        for mut entry in self.entries(key, *most, "10.0.0.1:6379").unwrap_or_default() {
            let Some((endpoint, file)) = self.server(&mut entry) else { continue };
            if let Some(earlier) = primaries.iter().position(|other| other.address == endpoint.address) {
                let text = format!("is the same server as {}[{earlier}]; it has one vote, name it once", key.path);
                self.wrong_entry(&entry, text);
            }
            lines.extend(Shown::endpoint(&endpoint, file.as_deref()));
            primaries.push(endpoint);
        }
        self.show_list(key, lines);
        primaries
    }

    /// The upstream, if there is one.
    pub(super) fn upstream(&mut self, key: &'static Key) -> Option<Endpoint> {
        let Kind::Upstream = &key.kind else { misread(key) };
        let given = self.settings.given(key).cloned();
        let given =
            given.filter(|given| !matches!(given.value, Raw::Nothing | Raw::Refused) && !is_empty(&given.value));
        let found =
            given.and_then(|Given { value, origin }| self.server(&mut Entry { key, value, origin, part: Vec::new() }));
        match &found {
            None => self.show(key, "null"),
            Some((endpoint, file)) => match Shown::endpoint(endpoint, file.as_deref()).as_slice() {
                [address] => self.show(key, address.trim_start_matches("- ")),
                // As an entry of a list it has a dash in front; here it is a mapping of its own.
                lines => {
                    self.show_list(
                        key,
                        lines.iter().map(|line| line.get(2..).unwrap_or_default().to_owned()).collect(),
                    );
                }
            },
        }
        found.map(|(endpoint, _)| endpoint)
    }

    /// One server, and the file that its password came from. `None` when it has no address.
    fn server(&mut self, entry: &mut Entry<'_>) -> Option<(Endpoint, Option<String>)> {
        let before = self.problems.len();
        let Fields { address, user, password, password_file } = self.fields(entry);
        let Some(mut endpoint) = address else {
            if self.problems.len() == before {
                self.wrong_entry(entry, "has no address; write `address: host:port`".to_owned());
            }
            return None;
        };
        if matches!(endpoint.address, Address::Tcp { port: 0, .. }) {
            self.wrong_entry(entry, "the port is 0; write 1 to 65535".to_owned());
        }
        if user.is_some() && endpoint.user.is_some() {
            self.wrong_entry(entry, "has its user in two places; keep one".to_owned());
        }
        let passwords = [password.is_some(), password_file.is_some(), endpoint.password.is_some()];
        if passwords.into_iter().filter(|&is_given| is_given).count() > 1 {
            self.wrong_entry(entry, "has its password in two places; keep one".to_owned());
        }
        let from_file = password_file.as_deref().and_then(|path| {
            let part = [entry.part.as_slice(), &[Step::Key("password_file".to_owned(), 0)]].concat();
            self.password_file(path, &entry.origin.place(&part), &named(entry.key.path, &part))
        });
        endpoint.user = endpoint.user.or(user);
        endpoint.password = endpoint.password.or(password).or(from_file);
        if endpoint.user.is_some() && endpoint.password.is_none() && self.problems.len() == before {
            self.wrong_entry(entry, "has a user but no password; give both or none".to_owned());
        }
        Some((endpoint, password_file))
    }

    /// The fields of a server that is a mapping; an address alone is a mapping of one.
    fn fields(&mut self, entry: &mut Entry<'_>) -> Fields {
        let mut fields = Fields::default();
        let address = |raw: &Raw| {
            let text = text(raw)?;
            Endpoint::from_str(text).map(Some).map_err(|error| error.to_string())
        };
        let written = match std::mem::replace(&mut entry.value, Raw::Nothing) {
            Raw::Map(written) => written,
            raw => {
                match address(&raw) {
                    Ok(address) => fields.address = address,
                    Err(text) => self.wrong_entry(entry, text),
                }
                return fields;
            }
        };
        for (index, (name, raw)) in written.iter().enumerate() {
            let earlier = written.iter().take(index).filter(|(other, _)| other == name).count();
            let result = match name.as_str() {
                _ if earlier > 0 => Err("stands here a second time; keep one of the two".to_owned()),
                "address" => address(raw).map(|address| fields.address = address),
                "user" => text(raw).map(|user| fields.user = Some(user.to_owned()).filter(|user| !user.is_empty())),
                "password" => secret(raw).map(|password| fields.password = password),
                "password_file" => text(raw).map(|path| fields.password_file = Some(path.to_owned())),
                _ => Err("is not known here; `address`, `user`, `password` and `password_file` are".to_owned()),
            };
            if let Err(text) = result {
                let part = [entry.part.as_slice(), &[Step::Key(name.clone(), earlier)]].concat();
                self.problems.push(Finding::new(entry.origin.place(&part), named(entry.key.path, &part), text));
            }
        }
        fields
    }

    /// The entries of a list. `None` when nobody gave the key, or it is wrong as a whole and told of.
    fn entries<'a>(&mut self, key: &'a Key, most: usize, example: &str) -> Option<Vec<Entry<'a>>> {
        let Given { value, origin } = self.settings.given(key)?.clone();
        let values = match value {
            Raw::List(values) => values,
            Raw::Loose { text, .. } => text.split(',').map(|entry| Raw::loose(entry.trim())).collect(),
            Raw::Refused => return None,
            other => {
                self.wrong(key, format!("is {}; it must be a list, as in `[\"{example}\"]`", other.describe()));
                return None;
            }
        };
        if values.is_empty() || values.len() > most {
            self.wrong(key, format!("has {} entries; right is: {}", values.len(), key.range()));
            return None;
        }
        let entry = |(index, value)| Entry { key, value, origin: origin.clone(), part: vec![Step::Item(index)] };
        Some(values.into_iter().enumerate().map(entry).collect())
    }

    fn wrong_entry(&mut self, entry: &Entry<'_>, text: String) {
        self.problems.push(Finding::new(entry.origin.place(&entry.part), named(entry.key.path, &entry.part), text));
    }
}

/// Whether a variable or a flag says nothing: `REDLOCK_PROXY_UPSTREAM=`.
fn is_empty(value: &Raw) -> bool {
    matches!(value, Raw::Loose { text, .. } if text.trim().is_empty())
}
