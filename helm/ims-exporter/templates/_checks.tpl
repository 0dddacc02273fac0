{{- /* Fails for values that contradict each other, with a message that names the fix. */}}
{{- define "ims-exporter.checks" -}}
{{- with .Values }}
{{- if not (or .demo .existingConfigMap .config.region_id .config.targets) }}
{{- fail "nothing to poll: set config.region_id, or config.targets for several accounts or regions, or demo: true for a demo" }}
{{- end }}
{{- if and (gt (int .shards) 1) (or .demo .persistence.existingClaim) }}
{{- fail "shards need a volume per pod: neither demo nor persistence.existingClaim can be combined with shards" }}
{{- end }}
{{- if and (ne .standby.mode "none") (or .demo (gt (int .shards) 1)) }}
{{- fail "standby pods share one ledger: neither demo nor shards can be combined with standby; create one release per part of the targets" }}
{{- end }}
{{- if and (ne .standby.mode "none") (not .persistence.enabled) }}
{{- fail "standby needs a shared volume, but persistence.enabled is off" }}
{{- end }}
{{- if and (ne .standby.mode "none") (not .persistence.existingClaim) (not (has "ReadWriteMany" .persistence.accessModes)) }}
{{- fail "standby needs a shared volume: set persistence.accessModes to [ReadWriteMany] and a storage class that supports it, or set persistence.existingClaim" }}
{{- end }}
{{- if and .existingConfigMap .config }}
{{- fail "config and existingConfigMap are both set: set only one of them" }}
{{- end }}
{{- if and .config.region_id .config.targets }}
{{- fail "config.region_id and config.targets are both set: set region_id for one target, or targets for several" }}
{{- end }}
{{- $targets := list }}
{{- range .config.targets }}
{{- $target := printf "account %s, region_id %s" (.account | default "default") .region_id }}
{{- if has $target $targets }}
{{- fail (printf "two of config.targets have %s: give one of them another account" $target) }}
{{- end }}
{{- $targets = append $targets $target }}
{{- end }}
{{- if and .ingress.enabled (not .ingress.hosts) }}
{{- fail "ingress.enabled is on without a host: set ingress.hosts" }}
{{- end }}
{{- if and .serviceMonitor.enabled .podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor are both enabled: every sample would be scraped twice" }}
{{- end }}
{{- if and .webConfig.tls (not .webConfig.existingSecret) }}
{{- fail "webConfig.tls is on without webConfig.existingSecret, which contains the web config file and the certificate" }}
{{- end }}
{{- range ($.Files.Get "files/thresholds.yaml" | fromYaml).unselectable }}
{{- if regexMatch (printf "(^|,)%s[=!]" .) $.Values.prometheusRule.selector }}
{{- fail (printf "prometheusRule.selector: not every series that the rules read has the label %s; choose a label of the scrape target, such as namespace, cluster or job" .) }}
{{- end }}
{{- end }}
{{- /* The common subset of all versions of Prometheus, as the command `rules` checks it; helm itself uses RE2. */}}
{{- range regexFindAll "[=!]~\"[^\"\n]*\"" $.Values.prometheusRule.selector -1 }}
{{- $quoted := regexReplaceAll "^[=!]~" . "" }}
{{- if not (regexMatch "^\"([^\\\\]|\\\\[\\\\nrt])*\"$" $quoted) }}
{{- fail (printf "prometheusRule.selector: %s is not a string of PromQL: write a backslash as \\\\" $quoted) }}
{{- end }}
{{- $pattern := fromJson (printf "{\"pattern\": %s}" $quoted) | dig "pattern" "" }}
{{- if or (gt (len $pattern) 1000) (contains "(?<" $pattern) (not (regexMatch (printf "%s|" $pattern) "")) }}
{{- fail (printf "prometheusRule.selector: %s is not a regular expression that all versions of Prometheus accept" $quoted) }}
{{- end }}
{{- end }}
{{- with .credentials }}
{{- $ways := list }}
{{- range $name, $value := dict "existingSecret" .existingSecret "fileSecret" .fileSecret "accessKeyId" .accessKeyId "ecsRole" .ecsRole "rrsa.roleName" .rrsa.roleName "rrsa.roleArn" .rrsa.roleArn }}
{{- if $value }}{{ $ways = append $ways (printf "credentials.%s" $name) }}{{ end }}
{{- end }}
{{- if gt (len $ways) 1 }}
{{- fail (printf "%s are all set: the default credential chain would use one and ignore the others; set only one" (join ", " (sortAlpha $ways))) }}
{{- end }}
{{- if ne (empty .accessKeyId) (empty .accessKeySecret) }}
{{- fail "credentials.accessKeyId and credentials.accessKeySecret belong together: set both" }}
{{- end }}
{{- if and .securityToken (not .accessKeyId) }}
{{- fail "credentials.securityToken belongs to credentials.accessKeyId, which is not set" }}
{{- end }}
{{- if ne (empty .rrsa.roleArn) (empty .rrsa.oidcProviderArn) }}
{{- fail "credentials.rrsa.roleArn and credentials.rrsa.oidcProviderArn belong together: set both" }}
{{- end }}
{{- if and .rrsa.roleName (not $.Values.serviceAccount.create) }}
{{- fail "credentials.rrsa.roleName annotates the chart's service account, but serviceAccount.create is off: annotate yours with pod-identity.alibabacloud.com/role-name" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
