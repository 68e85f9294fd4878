{{- define "corelane.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "corelane.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "corelane.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "corelane.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "corelane.selector" -}}
app.kubernetes.io/name: {{ include "corelane.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "corelane.labels" -}}
{{ include "corelane.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "corelane.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Sessions and the audit log live on volumes of their own: such pods have stable names. */}}
{{- define "corelane.kind" -}}
{{ ternary "StatefulSet" "Deployment" .Values.persistence.enabled }}
{{- end }}

{{- define "corelane.localhostProfile" -}}
{{- if eq .Values.seccomp.install "operator" -}}
operator/{{ .Release.Namespace }}/{{ include "corelane.fullname" . }}.json
{{- else -}}
{{ .Values.seccomp.localhostProfile }}
{{- end }}
{{- end }}

{{/* The end of the drain and five seconds, in seconds. */}}
{{- define "corelane.gracePeriod" -}}
{{- $server := .Values.profile.server | default dict }}
{{- $notice := $server.drain_notice_ms | default 0 | int64 }}
{{- $drain := $server.drain_timeout_ms | default 10000 | int64 }}
{{- add (div (add $notice $drain 999) 1000) 5 }}
{{- end }}

{{/* A value of YAML as TOML. Numbers of values are floats to Helm; toRawJson writes whole ones so. */}}
{{- define "corelane.toml" -}}
{{- if kindIs "map" . -}}
{ {{ range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ end }}{{ $key }} = {{ include "corelane.toml" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $value := . }}{{ if $i }}, {{ end }}{{ include "corelane.toml" $value }}{{ end }}]
{{- else -}}
{{ toRawJson . }}
{{- end }}
{{- end }}

{{/* The profile: the knobs of the values, and those that belong to the objects of the chart. */}}
{{- define "corelane.profile" -}}
{{- $fullname := include "corelane.fullname" . }}
{{- $hosts := list $fullname (printf "%s.%s" $fullname .Release.Namespace) (printf "%s.%s.svc" $fullname .Release.Namespace) (printf "%s.%s.svc.cluster.local" $fullname .Release.Namespace) }}
{{- $scheme := ternary "https" "http" (not (empty .Values.tls.existingSecret)) }}
{{- $server := dict "listen" (printf "%s://0.0.0.0:8080" $scheme) "allowed_hosts" (concat .Values.allowedHosts $hosts) "pin" (ternary "yes" "no" .Values.pinning) "behind_tls_proxy" .Values.tls.behindProxy "public_without_auth" .Values.open }}
{{- if .Values.stateKeys.existingSecret }}
{{- $files := list }}
{{- range .Values.stateKeys.files }}
{{- $files = append $files (printf "/etc/corelane/keys/%s" .) }}
{{- end }}
{{- $server = set $server "state_key_files" $files }}
{{- end }}
{{- $own := dict "server" $server }}
{{- if .Values.metrics.enabled }}
{{- $own = set $own "metrics" (dict "listen" (printf "0.0.0.0:%d" (int .Values.metrics.port)) "public_without_auth" true) }}
{{- end }}
{{- if .Values.tls.existingSecret }}
{{- $tls := dict "certificates" (list (dict "certificate_file" "/etc/corelane/tls/tls.crt" "key_file" "/etc/corelane/tls/tls.key")) }}
{{- if .Values.tls.clientCaSecret }}
{{- $tls = set $tls "client_ca_files" (list "/etc/corelane/client-ca/ca.crt") }}
{{- end }}
{{- $own = set $own "tls" $tls }}
{{- end }}
{{- $profile := mergeOverwrite (deepCopy .Values.profile) $own }}
{{- range $section := keys $profile | sortAlpha }}
{{- $knobs := get $profile $section }}
[{{ $section }}]
{{- range $knob := keys $knobs | sortAlpha }}
{{ $knob }} = {{ include "corelane.toml" (get $knobs $knob) }}
{{- end }}
{{ end }}
{{- end }}

{{/* Faults that the server would refuse at its start are found at the install. */}}
{{- define "corelane.check" -}}
{{- $tls := .Values.profile.tls | default dict }}
{{- $certificates := and .Values.tls.clientCaSecret (eq (toString $tls.client_certificates) "required") }}
{{- if not (or .Values.config.existingSecret .Values.open $certificates) }}
{{- fail "who may call the server is missing: set config.existingSecret to a Secret with corelane.toml, or open=true to let everybody in" }}
{{- end }}
{{- if not (or .Values.tls.existingSecret .Values.tls.behindProxy) }}
{{- fail "tokens would cross the network in clear: set tls.existingSecret to a Secret with a certificate, or tls.behindProxy=true if a proxy ends TLS" }}
{{- end }}
{{- if and .Values.tls.clientCaSecret (not .Values.tls.existingSecret) }}
{{- fail "tls.clientCaSecret needs tls.existingSecret" }}
{{- end }}
{{- if and (or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled) (not .Values.stateKeys.existingSecret) }}
{{- fail "several pods need one key for request states: set stateKeys.existingSecret, or replicas=1 without autoscaling" }}
{{- end }}
{{- if and .Values.autoscaling.enabled .Values.persistence.enabled }}
{{- fail "autoscaling would leave volumes behind: disable persistence or autoscaling" }}
{{- end }}
{{- if .Values.pinning }}
{{- $cpu := toString .Values.resources.limits.cpu }}
{{- if not (and (regexMatch "^[1-9][0-9]*$" $cpu) (eq $cpu (toString .Values.resources.requests.cpu)) (eq (toString .Values.resources.limits.memory) (toString .Values.resources.requests.memory))) }}
{{- fail "pinning needs whole cores: set resources.requests and resources.limits to the same memory and the same whole number of CPUs" }}
{{- end }}
{{- end }}
{{- end }}

{{/* A probe of the kubelet. It has no certificate to show: then only the port is tried. */}}
{{- define "corelane.probe" -}}
{{- $tls := .root.Values.profile.tls | default dict }}
{{- if eq (toString $tls.client_certificates) "required" -}}
tcpSocket:
  port: mcp
{{- else -}}
httpGet:
  path: {{ .path }}
  port: mcp
  scheme: {{ ternary "HTTPS" "HTTP" (not (empty .root.Values.tls.existingSecret)) }}
{{- end }}
{{- end }}

{{/* The folders of /etc/corelane that are Secrets. */}}
{{- define "corelane.secrets" -}}
{{- with .Values.config.existingSecret }}
config: {{ . | quote }}
{{- end }}
{{- with .Values.stateKeys.existingSecret }}
keys: {{ . | quote }}
{{- end }}
{{- with .Values.tls.existingSecret }}
tls: {{ . | quote }}
{{- end }}
{{- with .Values.tls.clientCaSecret }}
client-ca: {{ . | quote }}
{{- end }}
{{- end }}
