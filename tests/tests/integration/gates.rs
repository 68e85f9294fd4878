//! The order of the checks on lines: of two that would both refuse a message, the first answers.

use corelane_tests::Client;
use corelane_tests::client::{Channel, call, modern};
use serde_json::{Value, json};

use crate::access_file::AccessFile;

const RULES: &str = "[[role]]\nname = \"local\"\nmethods = [\"unix_peer\"]\n\
    [[grant]]\nrole = \"local\"\ntools = [\"add\"]\n";

/// The answer to a call, as the text of its error or of its result.
fn outcome(client: &mut Client<impl Channel>, tool: &str, arguments: Value) -> String {
    let answer = client.exchange(&modern(1, "tools/call", call(tool, arguments)));
    let error = answer["error"]["message"].as_str().map(str::to_owned);
    error.unwrap_or_else(|| answer["result"].to_string())
}

fn add(client: &mut Client<impl Channel>) -> String {
    outcome(client, "add", json!({"a": 1, "b": 2}))
}

#[test]
fn of_two_checks_that_refuse_a_message_the_first_one_answers() {
    let hidden = json!({"message": "m"});
    for (limits, used_up, with_policy) in [
        (
            "principal = { rate = \"1/h\", burst = 2 }",
            "principal",
            "principal",
        ),
        // A quota is for calls, so a tool that is hidden does not come to it.
        (
            "quota = { calls_per_day = 2 }",
            "quota",
            "unknown tool \"echo\"",
        ),
    ] {
        let file = AccessFile::new(&format!("{RULES}[limits]\n{limits}\n"));
        let socket = format!("unix://{}", file.directory.path().join("socket").display());
        let setup = file.setup(1).listen(&socket).listen("tcp://127.0.0.1:0");
        let server = setup.start();
        // Credential, then everything else.
        let tcp = server.addresses().last().expect("an address");
        let refused = outcome(&mut Client::of_lines(tcp), "echo", hidden.clone());
        assert_eq!(refused, "an access token is required");
        let mut local = Client::of_lines(&socket);
        for _ in 0..2 {
            assert!(add(&mut local).contains("content"));
        }
        assert!(add(&mut local).contains(used_up));
        // Rate, then policy, then quota.
        let refused = outcome(&mut local, "echo", hidden.clone());
        assert!(refused.contains(with_policy), "{limits}: {refused}");
        // Both, then arguments.
        let refused = outcome(&mut local, "add", json!({"a": "one"}));
        assert!(refused.contains(used_up), "{limits}: {refused}");
    }
}
