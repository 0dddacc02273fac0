{{- define "ims-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* Maximum of 52 characters: Kubernetes appends a revision of 11 characters for a label of at most 63. */}}
{{- define "ims-exporter.fullname" -}}
{{- $name := include "ims-exporter.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = default $full .Values.fullnameOverride | replace "." "-" -}}
{{- /* The name of a Service begins with a letter. */ -}}
{{- if regexMatch "^[0-9]" $full }}{{ $full = print "ims-" $full }}{{ end -}}
{{- $full | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "ims-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- /* The headless Service, whose DNS name resolves to every pod, ready or not. */}}
{{- define "ims-exporter.podsName" -}}
{{- include "ims-exporter.fullname" . }}-pods
{{- end }}

{{- /* Number of pods. */}}
{{- define "ims-exporter.replicas" -}}
{{- ternary .Values.shards .Values.standby.replicas (eq .Values.standby.mode "none") }}
{{- end }}

{{- /* The security context of a pod; OpenShift assigns the ids. */}}
{{- define "ims-exporter.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext -}}
{{- if .Values.openshift }}{{ $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}{{ end -}}
{{- toYaml $context }}
{{- end }}

{{- /* Labels that never change: a StatefulSet whose selector or claim differs cannot be upgraded. */}}
{{- define "ims-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ims-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Labels of an object without duplicates; selector labels take precedence: (list root labels) */}}
{{- define "ims-exporter.labels" -}}
{{- $root := index . 0 -}}
{{- $chart := dict "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $version := dict "app.kubernetes.io/version" ($root.Values.image.tag | default $root.Chart.AppVersion | trunc 63 | trimSuffix "-") -}}
{{- include "ims-exporter.podLabels" (list $root (merge (dict) (default (dict) (index . 1)) $chart $version)) }}
{{- end }}

{{- /* Labels of the pod, which do not depend on the version of the chart: (list root labels) */}}
{{- define "ims-exporter.podLabels" -}}
{{- $root := index . 0 -}}
{{- $own := include "ims-exporter.selectorLabels" $root | fromYaml -}}
{{- $manager := dict "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- toYaml (merge (dict) $own (index . 1) $root.Values.commonLabels $manager) }}
{{- end }}

{{- define "ims-exporter.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry | trimSuffix "/" -}}
{{- with .Values.image -}}
{{ if $registry }}{{ $registry }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "ims-exporter.serviceAccountName" -}}
{{- $own := ternary (include "ims-exporter.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "ims-exporter.configMapName" -}}
{{- default (printf "%s-config" (include "ims-exporter.fullname" .)) .Values.existingConfigMap }}
{{- end }}

{{- define "ims-exporter.secretName" -}}
{{- default (printf "%s-credentials" (include "ims-exporter.fullname" .)) .Values.credentials.existingSecret }}
{{- end }}

{{- define "ims-exporter.scheme" -}}
{{ ternary "https" "http" .Values.webConfig.tls }}
{{- end }}

{{- /* metadata of an object with the namespace, labels and annotations of its values: (list root values suffix) */}}
{{- define "ims-exporter.metadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
name: {{ include "ims-exporter.fullname" $root }}{{ index . 2 }}
namespace: {{ $values.namespace | default (include "ims-exporter.namespace" $root) }}
labels:
  {{- include "ims-exporter.labels" (list $root $values.labels) | nindent 2 }}
{{- with $values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The spec of the PersistentVolumeClaim of the ledger. */}}
{{- define "ims-exporter.claim" -}}
accessModes:
  {{- toYaml .Values.persistence.accessModes | nindent 2 }}
{{- with .Values.persistence.storageClass }}
storageClassName: {{ ternary "" . (eq . "-") | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.persistence.size }}
{{- end }}

{{- /* The name of the PersistentVolumeClaim that standby pods share. */}}
{{- define "ims-exporter.sharedClaim" -}}
{{- default (printf "%s-ledger" (include "ims-exporter.fullname" .)) .Values.persistence.existingClaim }}
{{- end }}

{{- /* Relabelings that give job series the same labels from every pod, so that counters continue after a takeover. */}}
{{- define "ims-exporter.oneSource" -}}
- action: replace
  sourceLabels: [__name__]
  regex: ims_job.*
  targetLabel: instance
  replacement: {{ include "ims-exporter.fullname" . }}
- action: replace
  sourceLabels: [__name__]
  regex: ims_job.*
  targetLabel: pod
  replacement: ""
{{- end }}

{{- /* A probe: (list root probe path) */}}
{{- define "ims-exporter.probe" -}}
{{- $root := index . 0 -}}
{{- $http := dict "path" (index . 2) "port" "metrics" "scheme" (include "ims-exporter.scheme" $root | upper) -}}
{{- $own := or (index . 1).httpGet (index . 1).exec (index . 1).tcpSocket -}}
{{- toYaml (ternary (index . 1) (merge (dict "httpGet" $http) (index . 1)) (not (not $own))) }}
{{- end }}

{{- /* The endpoint of a ServiceMonitor or PodMonitor: (list root monitor) */}}
{{- define "ims-exporter.endpoint" -}}
{{- $root := index . 0 -}}
port: metrics
path: {{ (index . 1).path }}
scheme: {{ include "ims-exporter.scheme" $root }}
{{- $monitor := deepCopy (index . 1) }}
{{- if ne $root.Values.standby.mode "none" }}
{{- $_ := set $monitor "metricRelabelings" (concat (include "ims-exporter.oneSource" $root | fromYamlArray) $monitor.metricRelabelings) }}
{{- end }}
{{- range $key := list "interval" "scrapeTimeout" "honorLabels" "proxyUrl" "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
{{- with get $monitor $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Fields of the spec of a ServiceMonitor or PodMonitor: (list root monitor) */}}
{{- define "ims-exporter.monitor" -}}
{{- range $key := list "jobLabel" "targetLabels" "podTargetLabels" "sampleLimit" "targetLimit" "labelLimit" "labelNameLengthLimit" "labelValueLengthLimit" }}
{{- with get (index $ 1) $key }}
{{ $key }}: {{ toJson . }}
{{- end }}
{{- end }}
namespaceSelector:
  matchNames: [{{ include "ims-exporter.namespace" (index . 0) }}]
{{- end }}

{{- /* Labels of the pod of `helm test`, which the Service and the policies of the exporter do not select. */}}
{{- define "ims-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "ims-exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
