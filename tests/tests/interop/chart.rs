//! The chart of `deploy/helm`: Helm renders it with each file of values in `ci/`, the schemas of
//! Kubernetes accept the result, its profile is valid, and the server starts with it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use corelane::Profile;
use corelane_tests::conformance::python;
use corelane_tests::{LivenessProbe, Request, Setup, binary};
use serde_json::{Map, Value, json};

/// The oldest version of Chart.yaml, and the newest that the validator knows.
const KUBERNETES: [&str; 2] = ["1.27", "1.37"];
/// Knobs that the chart sets itself: a value could contradict its Services, volumes and probes.
const OWN_KNOBS: [&str; 15] = [
    "admin.socket",
    "server.listen",
    "server.stdio",
    "server.probes",
    "server.pin",
    "server.cores",
    "server.access_file",
    "server.state_key_files",
    "server.allowed_hosts",
    "server.behind_tls_proxy",
    "server.public_without_auth",
    "tls.certificates",
    "tls.client_ca_files",
    "metrics.listen",
    "metrics.public_without_auth",
];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/corelane")
}

/// Helm: that of `perf-scripts/test.sh`, or of the system.
fn helm(arguments: &[&str]) -> Output {
    let own = python("helm");
    let program = match own.is_file() {
        true => own,
        false => PathBuf::from("helm"),
    };
    let mut command = Command::new(program);
    command.args(arguments).env("HELM_NO_PLUGINS", "1");
    command
        .output()
        .expect("perf-scripts/test.sh installs Helm")
}

/// The chart rendered with these arguments.
fn render(arguments: &[&str]) -> Result<String, String> {
    let folder = chart();
    let folder = folder.to_str().expect("a path of text");
    let arguments = [&["template", "test", folder], arguments].concat();
    let output = helm(&arguments);
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).expect("text")),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The objects of each file of values, which the schemas of Kubernetes accept.
fn rendered() -> &'static BTreeMap<String, Vec<Value>> {
    static RENDERED: OnceLock<BTreeMap<String, Vec<Value>>> = OnceLock::new();
    RENDERED.get_or_init(|| {
        let files = std::fs::read_dir(chart().join("ci")).expect("the values of tests");
        let texts = files.map(|file| {
            let path = file.expect("an entry").path();
            let path = path.to_str().expect("a path of text");
            let text = render(&["--values", path]);
            let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
            let (_, name) = path.rsplit_once('/').expect("it is absolute");
            (
                name.trim_end_matches("-values.yaml").to_owned(),
                json!(text),
            )
        });
        let texts = Value::Object(texts.collect());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/kubernetes.py");
        let mut command = Command::new(python("python"));
        command.arg(script).args(KUBERNETES);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("Python");
        let mut input = child.stdin.take().expect("a pipe");
        // It reads all of it before it writes.
        input
            .write_all(texts.to_string().as_bytes())
            .expect("a reader");
        drop(input);
        let output = child.wait_with_output().expect("its end");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    })
}

/// The objects of this kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|it| it["kind"] == kind).collect()
}

/// The Deployment or StatefulSet of the server.
fn workload(objects: &[Value]) -> &Value {
    let kinds = ["Deployment", "StatefulSet"]
        .map(|kind| of_kind(objects, kind))
        .concat();
    assert_eq!(kinds.len(), 1);
    kinds[0]
}

fn profile_of(objects: &[Value]) -> &str {
    let profiles = objects
        .iter()
        .filter_map(|it| it["data"]["profile.toml"].as_str());
    let profiles: Vec<&str> = profiles.collect();
    assert_eq!(profiles.len(), 1);
    profiles[0]
}

#[test]
fn helm_finds_no_fault_and_the_versions_are_ours() {
    let folder = chart();
    let output = helm(&["lint", "--strict", folder.to_str().expect("a path of text")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let text = std::fs::read_to_string(folder.join("Chart.yaml")).expect("the chart");
    for key in ["version", "appVersion"] {
        let line = format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&line), "{line}");
    }
    // The files of the chart are those of containers and Prometheus.
    for name in [
        "docker/seccomp.json",
        "prometheus/corelane.rules.yml",
        "grafana/corelane.json",
    ] {
        let (_, file) = name.rsplit_once('/').expect("a folder");
        let own = std::fs::read(folder.join("files").join(file)).expect("a file of the chart");
        assert_eq!(
            own,
            std::fs::read(folder.join("../..").join(name)).expect("a file")
        );
    }
}

#[test]
fn pods_pass_the_level_restricted() {
    assert!(rendered().len() >= 12, "{:?}", rendered().keys());
    for (name, objects) in rendered() {
        let spec = &workload(objects)["spec"]["template"]["spec"];
        let mut pods = vec![spec];
        pods.extend(of_kind(objects, "Pod").iter().map(|it| &it["spec"]));
        for pod in pods {
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            for container in pod["containers"].as_array().expect("a list") {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(
                    context["capabilities"],
                    json!({ "drop": ["ALL"] }),
                    "{name}"
                );
            }
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                assert!(volume.get("hostPath").is_none(), "{name}");
            }
        }
        let seccomp = &spec["securityContext"]["seccompProfile"];
        let profile = match &**name {
            "unprepared-nodes" => Value::Null,
            "seccomp-operator" => json!("operator/default/test-corelane.json"),
            _ => json!("corelane.json"),
        };
        assert_eq!(seccomp["localhostProfile"], profile, "{name}");
        let kind = match profile {
            Value::Null => "Unconfined",
            _ => "Localhost",
        };
        assert_eq!(seccomp["type"], kind, "{name}");
    }
}

#[test]
fn services_and_budgets_select_the_pods_and_nothing_else() {
    for (name, objects) in rendered() {
        let labels = &workload(objects)["spec"]["template"]["metadata"]["labels"];
        let services = of_kind(objects, "Service");
        let selectors = services.iter().map(|it| &it["spec"]["selector"]);
        let budgets = of_kind(objects, "PodDisruptionBudget");
        let budgets = budgets
            .iter()
            .map(|it| &it["spec"]["selector"]["matchLabels"]);
        let own = &workload(objects)["spec"]["selector"]["matchLabels"];
        for selector in selectors.chain(budgets).chain([own]) {
            let selects = |labels: &Value| {
                let wanted = selector.as_object().expect("an object");
                !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
            };
            assert!(selects(labels), "{name}: {selector}");
            for pod in of_kind(objects, "Pod") {
                assert!(!selects(&pod["metadata"]["labels"]), "{name}: {selector}");
            }
            for set in of_kind(objects, "DaemonSet") {
                let labels = &set["spec"]["template"]["metadata"]["labels"];
                assert!(!selects(labels), "{name}: {selector}");
            }
        }
        let ports = &workload(objects)["spec"]["template"]["spec"]["containers"][0]["ports"];
        for service in services {
            for port in service["spec"]["ports"].as_array().expect("a list") {
                let target = &port["targetPort"];
                let mut ports = ports.as_array().expect("a list").iter();
                assert!(ports.any(|it| it["name"] == *target), "{name}: {target}");
            }
        }
    }
}

#[test]
fn each_switch_has_its_effect() {
    let sets = rendered();
    let pod = |name: &str| &workload(&sets[name])["spec"]["template"]["spec"];
    for (name, objects) in sets {
        let expected = match &**name {
            "persistence" => "StatefulSet",
            _ => "Deployment",
        };
        assert_eq!(workload(objects)["kind"], expected, "{name}");
    }
    assert_eq!(pod("open")["terminationGracePeriodSeconds"], 35);
    assert_eq!(pod("everything")["terminationGracePeriodSeconds"], 66);
    let container = |name: &str| &pod(name)["containers"][0];
    assert_eq!(
        container("tls")["readinessProbe"]["httpGet"]["scheme"],
        "HTTPS"
    );
    let socket = &container("client-certificates")["livenessProbe"]["tcpSocket"];
    assert_eq!(socket["port"], "mcp");
    assert!(profile_of(&sets["pinning"]).contains("\npin = \"yes\"\n"));
    assert!(profile_of(&sets["open"]).contains("\npin = \"no\"\n"));
    let keys = r#"state_key_files = ["/etc/corelane/keys/2.key", "/etc/corelane/keys/1.key"]"#;
    assert!(profile_of(&sets["replicas"]).contains(keys));
    assert!(!profile_of(&sets["no-metrics"]).contains("[metrics]"));
    assert!(
        workload(&sets["autoscaling"])["spec"]
            .get("replicas")
            .is_none()
    );
    for (name, kind) in [
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("monitoring", "ServiceMonitor"),
        ("monitoring", "PrometheusRule"),
        ("network-policy", "NetworkPolicy"),
        ("seccomp-daemonset", "DaemonSet"),
        ("seccomp-operator", "SeccompProfile"),
    ] {
        assert_eq!(of_kind(&sets[name], kind).len(), 1, "{name}: {kind}");
        assert!(of_kind(&sets["open"], kind).is_empty(), "{kind}");
    }
    // Metrics of the autoscaler are those of the adapter's rules.
    let rules = chart().join("../../prometheus/adapter-rules.yml");
    let rules = std::fs::read_to_string(rules).expect("the rules of the adapter");
    let scaler = of_kind(&sets["autoscaling"], "HorizontalPodAutoscaler")[0];
    let metrics = scaler["spec"]["metrics"].as_array().expect("a list");
    let names = metrics
        .iter()
        .filter_map(|it| it["pods"]["metric"]["name"].as_str());
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(rules.contains(&format!("as: {name}\n")), "{name}");
    }
}

#[test]
fn values_that_cannot_work_are_refused_with_the_remedy() {
    let open = ["--set", "open=true,tls.behindProxy=true"];
    for (set, expected) in [
        ("tls.behindProxy=true,open=false", "config.existingSecret"),
        ("tls.behindProxy=false", "tls.existingSecret"),
        ("replicas=2", "stateKeys.existingSecret"),
        ("autoscaling.enabled=true", "stateKeys.existingSecret"),
        ("pinning=true,resources.limits.cpu=1500m", "whole cores"),
        ("pinning=true,resources.limits.cpu=3", "whole cores"),
        ("tls.clientCaSecret=ca", "tls.existingSecret"),
        ("replica=2", "replica"),
        ("image.tag=latest", "/image/tag"),
        ("image.digest=sha256:1", "/image/digest"),
        ("profile.server.no_such_knob=1", "no_such_knob"),
        ("profile.no_such_section.x=1", "no_such_section"),
        ("profile.server.listen=0.0.0.0:1", "listen"),
        ("profile.server.backlog=many", "/profile/server/backlog"),
        ("profile.metrics.per_shard=1", "/profile/metrics/per_shard"),
        ("seccomp.type=RuntimeDefault", "/seccomp/type"),
        ("service.port=0", "/service/port"),
    ] {
        let refused = render(&[&open[..], &["--set", set]].concat());
        let error = refused.expect_err(set);
        assert!(error.contains(expected), "{set}: {error}");
    }
}

#[test]
fn profiles_of_the_chart_are_valid() {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, objects) in rendered() {
        let file = folder.path().join("profile.toml");
        std::fs::write(&file, profile_of(objects)).expect("a file");
        let command = Command::new(binary())
            .args(["profile", "check"])
            .arg(&file)
            .output();
        let output = command.expect("the server is built");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{name}: {error}\n{}",
            profile_of(objects)
        );
    }
}

/// The schema of the knobs that values may set, as the profile declares them.
fn schema_of_knobs() -> Value {
    let mut sections = Map::new();
    for (key, default) in Profile::default().settings() {
        if OWN_KNOBS.contains(&&*key) {
            continue;
        }
        let (section, knob) = key.split_once('.').expect("a section and a knob");
        let default = default.unwrap_or_default();
        let kind = match default.replace('_', "") {
            text if text.parse::<u64>().is_ok() => json!({ "type": "integer", "minimum": 0 }),
            text if text.parse::<bool>().is_ok() => json!({ "type": "boolean" }),
            _ => json!({ "type": ["string", "integer", "boolean", "array"] }),
        };
        let entry = sections.entry(section).or_insert_with(
            || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
        );
        entry["properties"][knob] = kind;
    }
    json!({ "type": "object", "additionalProperties": false, "properties": sections })
}

#[test]
fn the_schema_has_the_knobs_that_there_are() {
    let knobs = Profile::default().settings();
    for own in OWN_KNOBS {
        assert!(knobs.iter().any(|(key, _)| key == own), "{own}");
    }
    let path = chart().join("values.schema.json");
    let text = std::fs::read_to_string(&path).expect("the schema");
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    let expected = schema_of_knobs();
    if std::env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
        schema["properties"]["profile"] = expected;
        let text = serde_json::to_string_pretty(&schema).expect("it is JSON");
        std::fs::write(&path, text + "\n").expect("a file");
        return;
    }
    assert_eq!(
        schema["properties"]["profile"], expected,
        "to write it: CORELANE_WRITE_REFERENCE=1 cargo test -p corelane-tests --test interop schema"
    );
}

#[test]
fn the_server_starts_as_in_its_pod() {
    let objects = &rendered()["open"];
    let folder = tempfile::tempdir().expect("a directory");
    let place = folder.path().to_str().expect("a path of text");
    std::fs::create_dir_all(folder.path().join("profile")).expect("a directory");
    // Ports and cores are those of the test: several run at once.
    let profile = profile_of(objects)
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("0.0.0.0:9464", "127.0.0.1:0");
    std::fs::write(folder.path().join("profile/profile.toml"), profile).expect("a file");
    let container = &workload(objects)["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("a list");
    let arguments = arguments.iter().map(|it| {
        let text = it.as_str().expect("text").replace("/etc/corelane", place);
        text.replace("/run/corelane", place)
    });
    let arguments: Vec<String> = arguments.collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Setup::program(binary(), &arguments).start();
    LivenessProbe::of(&server).check("the start");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"]
            .as_str()
            .expect("a path");
        // The kubelet names the address of the pod.
        let request = Request::new("GET")
            .path(path)
            .field("Host", "10.244.0.7:8080");
        let answer = server.connect().exchange(&request);
        assert_eq!(answer.status(), 200, "{probe}: {path}");
    }
    server.signal("TERM");
    assert!(server.wait_for_exit().success(), "{}", server.log());
}
