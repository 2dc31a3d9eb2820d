//! `state`: a plugin's own small memory. Reads see the call's own writes; nothing is written before the call has ended well.

use super::Room;
use super::room::Answer;
use crate::bindings::state::Host;
use crate::bindings::types::Error;
use crate::capability::Ask;
use crate::limits::{STATE_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_KEYS_MAX};

impl Room {
    fn kept(&mut self) -> Result<&std::collections::BTreeMap<String, Vec<u8>>, Error> {
        if self.kept.is_none() {
            self.kept = Some(self.world.state(&self.effective.manifest.id)?);
        }
        self.kept.as_ref().ok_or_else(|| Error::Io("the state could not be read".to_owned()))
    }

    /// Keys and values as they would be if the call ended now.
    fn after(&mut self) -> Result<Vec<(&str, usize)>, Error> {
        self.kept()?;
        let kept = self.kept.iter().flatten().filter(|(key, _)| !self.writes.contains_key(*key));
        let written = self.writes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        Ok(kept.chain(written).map(|(key, value)| (key.as_str(), value.len())).collect())
    }
}

impl Host for Room {
    fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        if let Err(denied) = self.enter(Ask::State)? {
            return Ok(Err(denied));
        }
        let value = match self.writes.get(&key) {
            Some(written) => written.clone(),
            None => match self.kept() {
                Ok(kept) => kept.get(&key).cloned(),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(self.hand_over(value.as_ref().map_or(0, Vec::len)).map(|()| value))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Answer<()> {
        if let Err(denied) = self.enter(Ask::State)? {
            return Ok(Err(denied));
        }
        if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX || key.contains(char::is_control) {
            let text = format!("a key has 1 to {STATE_KEY_BYTES_MAX} bytes and no control characters");
            return Ok(Err(Error::Invalid(text)));
        }
        let (keys, bytes) = match self.after() {
            Ok(after) => after
                .iter()
                .filter(|(other, _)| *other != key)
                .fold((1, key.len() + value.len()), |(keys, bytes), (k, len)| (keys + 1, bytes + k.len() + len)),
            Err(error) => return Ok(Err(error)),
        };
        if keys > STATE_KEYS_MAX || bytes > STATE_BYTES_MAX {
            let text = format!("state of {STATE_KEYS_MAX} keys and {STATE_BYTES_MAX} bytes");
            return Ok(Err(Error::Limit(text)));
        }
        self.writes.insert(key, Some(value));
        Ok(Ok(()))
    }

    fn delete(&mut self, key: String) -> Answer<()> {
        if let Err(denied) = self.enter(Ask::State)? {
            return Ok(Err(denied));
        }
        match self.kept() {
            Ok(kept) if kept.contains_key(&key) => {
                self.writes.insert(key, None);
            }
            Ok(_) => {
                self.writes.remove(&key);
            }
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    fn keys(&mut self, prefix: String) -> Answer<Vec<String>> {
        if let Err(denied) = self.enter(Ask::State)? {
            return Ok(Err(denied));
        }
        let mut keys: Vec<String> = match self.after() {
            Ok(after) => after.into_iter().map(|(k, _)| k.to_owned()).filter(|k| k.starts_with(&prefix)).collect(),
            Err(error) => return Ok(Err(error)),
        };
        keys.sort();
        Ok(self.hand_over(keys.iter().map(String::len).sum()).map(|()| keys))
    }
}
