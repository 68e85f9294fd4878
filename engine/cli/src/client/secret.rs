//! The values of secrets, which stand in files and in the environment.

use std::path::Path;

use corelane_gateway::config::Value;

use super::failure::Failure;

/// The most bytes of a file with a secret.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// The value of a secret in its place.
pub(super) fn secret(place: &Value) -> Result<String, Failure> {
    let text = match place {
        Value::Plain(text) => return Ok(text.to_string()),
        Value::File(path) => {
            let path = Path::new(&**path);
            let text = crate::bounded_file::read(path, SECRET_BYTES_MAX);
            text.map_err(|error| Failure::file(path, &error))?
        }
        Value::Variable(name) => std::env::var(&**name)
            .map_err(|_| Failure::Usage(format!("the variable {name} is not set")))?,
    };
    Ok(text.trim_end().to_owned())
}
