{{- /* The spec of the pod. */}}
{{- define "ims-exporter.pod" -}}
serviceAccountName: {{ include "ims-exporter.serviceAccountName" . }}
{{- /* Only a Lease needs the Kubernetes API. */}}
automountServiceAccountToken: {{ eq .Values.standby.mode "lease" }}
# Variables that Kubernetes injects for Services look like settings of the exporter: IMS_..._PORT.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- include "ims-exporter.podSecurityContext" . | nindent 2 }}
{{- $fields := dict }}
{{- range list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "hostAliases" "dnsPolicy" "dnsConfig" "initContainers" }}
{{- $_ := set $fields . . }}
{{- end }}
{{- range $field, $value := $fields }}
{{- with get $.Values $value }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if and (ne .Values.standby.mode "none") (not .Values.affinity) }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "ims-exporter.selectorLabels" . | nindent 14 }}
{{- end }}
containers:
  - name: exporter
    image: {{ include "ims-exporter.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - {{ ternary "demo" "run" .Values.demo }}
      {{- if .Values.demo }}
      - --listen-address={{ .Values.listenHost }}:{{ .Values.containerPort }}
      {{- end }}
      {{- with .Values.extraArgs }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    env:
      {{- include "ims-exporter.env" . | nindent 6 }}
    {{- with .Values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      - name: metrics
        containerPort: {{ .Values.containerPort }}
        protocol: TCP
    startupProbe:
      {{- include "ims-exporter.probe" (list . .Values.startupProbe "/livez") | nindent 6 }}
    livenessProbe:
      {{- include "ims-exporter.probe" (list . .Values.livenessProbe "/livez") | nindent 6 }}
    readinessProbe:
      {{- include "ims-exporter.probe" (list . .Values.readinessProbe "/readyz") | nindent 6 }}
    {{- with .Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      {{- include "ims-exporter.mounts" . | nindent 6 }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  {{- include "ims-exporter.volumes" . | nindent 2 }}
{{- end }}

{{- define "ims-exporter.env" -}}
- name: IMS_EXPORTER_LISTEN_ADDRESS
  value: {{ printf "%s:%v" .Values.listenHost .Values.containerPort | quote }}
- name: IMS_EXPORTER_LEDGER_PATH
  value: /var/lib/ims-exporter/ledger.db
{{- if gt (int .Values.shards) 1 }}
- name: IMS_EXPORTER_SHARDS
  value: {{ .Values.shards | quote }}
- name: HOSTNAME # ends in the index of the shard
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if ne .Values.standby.mode "none" }}
- name: IMS_EXPORTER_STANDBY
  value: {{ .Values.standby.mode }}
- name: IMS_EXPORTER_LEASE_NAME
  value: {{ include "ims-exporter.fullname" . }}
- name: IMS_EXPORTER_LEASE_SECONDS
  value: {{ .Values.standby.leaseSeconds | quote }}
{{- end }}
{{- if not .Values.demo }}
- name: IMS_EXPORTER_CONFIG
  value: /etc/ims-exporter/config.yaml
{{- end }}
{{- with .Values.webConfig }}
{{- if .existingSecret }}
- name: IMS_EXPORTER_WEB_CONFIG_FILE
  value: /etc/ims-exporter/web/{{ .key }}
{{- end }}
{{- end }}
{{- with .Values.credentials }}
{{- if or .existingSecret .accessKeyId }}
{{- $token := .securityTokenKey | default (ternary "security-token" "" (not (empty .securityToken))) }}
{{- $secret := include "ims-exporter.secretName" $ }}
{{- range $variable, $key := dict "ACCESS_KEY_ID" .accessKeyIdKey "ACCESS_KEY_SECRET" .accessKeySecretKey "SECURITY_TOKEN" $token }}
{{- if $key }}
- name: ALIBABA_CLOUD_{{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- if .fileSecret }}
- name: ALIBABA_CLOUD_CREDENTIALS_FILE
  value: /etc/ims-exporter/credentials/{{ .fileKey }}
{{- end }}
{{- with .ecsRole }}
- name: ALIBABA_CLOUD_ECS_METADATA
  value: {{ . | quote }}
{{- end }}
{{- if .rrsa.roleArn }}
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ .rrsa.roleArn }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ .rrsa.oidcProviderArn }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: /var/run/secrets/ims-exporter/rrsa/token
- name: ALIBABA_CLOUD_ROLE_SESSION_NAME
  value: ims-exporter
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ims-exporter.mounts" -}}
- name: ledger
  mountPath: /var/lib/ims-exporter
- name: tmp
  mountPath: /tmp
{{- if not .Values.demo }}
- name: config
  mountPath: /etc/ims-exporter/config.yaml
  subPath: config.yaml
  readOnly: true
{{- end }}
{{- if .Values.credentials.fileSecret }}
- name: credentials # not a subPath: the kubelet updates the file when the Secret changes
  mountPath: /etc/ims-exporter/credentials
  readOnly: true
{{- end }}
{{- if .Values.webConfig.existingSecret }}
- name: web
  mountPath: /etc/ims-exporter/web
  readOnly: true
{{- end }}
{{- if .Values.credentials.rrsa.roleArn }}
- name: rrsa
  mountPath: /var/run/secrets/ims-exporter/rrsa
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ims-exporter.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if not .Values.persistence.enabled }}
- name: ledger
  emptyDir: {}
{{- else if or .Values.persistence.existingClaim (ne .Values.standby.mode "none") }}
- name: ledger
  persistentVolumeClaim:
    claimName: {{ include "ims-exporter.sharedClaim" . }}
{{- end }}
{{- if not .Values.demo }}
- name: config
  configMap:
    name: {{ include "ims-exporter.configMapName" . }}
    items:
      - key: {{ ternary .Values.existingConfigMapKey "config.yaml" (not (empty .Values.existingConfigMap)) }}
        path: config.yaml
{{- end }}
{{- with .Values.credentials.fileSecret }}
- name: credentials
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.webConfig.existingSecret }}
- name: web
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.credentials.rrsa }}
{{- if .roleArn }}
- name: rrsa
  projected:
    sources:
      - serviceAccountToken:
          audience: sts.aliyuncs.com
          expirationSeconds: {{ .tokenExpirationSeconds }}
          path: token
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
