{{- /*
The rules of files/rules contain placeholders for everything that values can change:
  <<name>> <<name:float>> <<name:duration>> <<name:percent>>                 a threshold
  <<one+other>> <<one*other:product>>                                        the sum or product of two thresholds
  <<each name>> ... <<type>> ... <<seconds>> ... <<end>>                     repeated per job type of a threshold
  <<name:types>>                                                             the job types as a regular expression
  <<selector>> <<runbooks>> <<dashboards>> <<exporter>>                      label matchers and base URLs
*/}}

{{- /* A group of rules as YAML: (list root path) */}}
{{- define "ims-exporter.ruleGroup" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values.prometheusRule -}}
{{- $known := $root.Files.Get "files/thresholds.yaml" | fromYaml -}}
{{- $thresholds := mergeOverwrite $known.defaults (deepCopy $values.thresholds) -}}
{{- $text := $root.Files.Get (index . 1) -}}
{{- range $name, $value := $thresholds -}}
{{- if kindIs "map" $value -}}
{{- $types := uniq (concat $known.job_types (keys $value | sortAlpha)) -}}
{{- $text = replace (printf "<<%s:types>>" $name) (join "|" $types) $text -}}
{{- range $block := regexFindAll (printf "(?s)<<each %s>>.*?<<end>>" $name) $text -1 -}}
{{- $all := "" -}}
{{- range $types -}}
{{- $body := $block | trimPrefix (printf "<<each %s>>" $name) | trimSuffix "<<end>>" | replace "<<type>>" . -}}
{{- $seconds := get $value . -}}
{{- $body = $body | replace "<<seconds>>" (toString (int64 $seconds)) -}}
{{- $all = print $all ($body | replace "<<seconds:duration>>" (include "ims-exporter.duration" $seconds)) -}}
{{- end -}}
{{- $text = replace $block $all $text -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $selector := $values.selector -}}
{{- $text = $text | replace ",<<selector>>" (ternary (print "," $selector) "" (ne $selector "")) -}}
{{- $text = $text | replace "{<<selector>>}" (ternary (printf "{%s}" $selector) "" (ne $selector "")) -}}
{{- $text = $text | replace "<<runbooks>>" (regexReplaceAll "/+$" $values.runbookBaseUrl "") -}}
{{- $text = $text | replace "<<dashboards>>/" (printf "%s/%s" (regexReplaceAll "/+$" $values.dashboardBaseUrl "") $root.Values.dashboards.uidPrefix) -}}
{{- $text = $text | replace "<<exporter>>" (include "ims-exporter.exporterBaseUrl" $root) -}}
{{- range $placeholder := regexFindAll "<<[a-z_:*+]+>>" $text -1 | uniq -}}
{{- $text = replace $placeholder (include "ims-exporter.placeholder" (list $thresholds $placeholder)) $text -}}
{{- end -}}
{{ $text }}
{{- end }}

{{- /* The text that replaces a placeholder, as the command `rules` writes it: (list thresholds placeholder) */}}
{{- define "ims-exporter.placeholder" -}}
{{- $thresholds := index . 0 -}}
{{- $parts := index . 1 | trimPrefix "<<" | trimSuffix ">>" | splitList ":" -}}
{{- $form := index (append $parts "whole") 1 -}}
{{- $names := regexSplit "[+*]" (first $parts) -1 -}}
{{- $value := get $thresholds (first $names) -}}
{{- range rest $names -}}
{{- $other := get $thresholds . -}}
{{- $value = ternary (addf $value $other) (mulf $value $other) (contains "+" (first $parts)) -}}
{{- end -}}
{{- if eq $form "duration" -}}
{{- include "ims-exporter.duration" $value -}}
{{- else if eq $form "percent" -}}
{{- printf "%.4g%%" (mulf $value 100) -}}
{{- else if eq $form "product" -}}
{{- printf "%.6g" $value -}}
{{- else if eq $form "float" -}}
{{- $value }}{{ if eq (float64 $value) (floor $value) }}.0{{ end -}}
{{- else -}}
{{- int64 $value -}}
{{- end -}}
{{- end }}

{{- /* Whole seconds as a PromQL duration, in the largest unit that fits. */}}
{{- define "ims-exporter.duration" -}}
{{- $seconds := int64 . -}}
{{- if eq (mod $seconds 86400) 0 }}{{ div $seconds 86400 }}d
{{- else if eq (mod $seconds 3600) 0 }}{{ div $seconds 3600 }}h
{{- else if eq (mod $seconds 60) 0 }}{{ div $seconds 60 }}m
{{- else }}{{ $seconds }}s
{{- end }}
{{- end }}

{{- define "ims-exporter.exporterBaseUrl" -}}
{{- $host := printf "%s.%s.svc" (include "ims-exporter.fullname" .) (include "ims-exporter.namespace" .) -}}
{{- $service := printf "%s://%s:%v" (include "ims-exporter.scheme" .) $host .Values.service.port -}}
{{- default $service .Values.prometheusRule.exporterBaseUrl | trimSuffix "/" }}
{{- end }}
