//! Values of the configuration that may stand in files or in the environment.

use std::io;

use corelane_gateway::config::Value;

/// The bytes of a file with a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The value of a header, or of a variable of a program.
pub(super) fn secret(value: &Value) -> io::Result<String> {
    use std::io::Read as _;
    match value {
        Value::Plain(text) => Ok(text.to_string()),
        Value::Variable(name) => {
            std::env::var(&**name).map_err(|error| io::Error::other(format!("{name}: {error}")))
        }
        Value::File(path) => {
            let mut text = String::new();
            let file = std::fs::File::open(&**path)?;
            file.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}
