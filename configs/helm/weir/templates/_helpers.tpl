{{- define "weir.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What the pods of this release are found by; never changes. */}}
{{- define "weir.selector" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/instance: {{ include "weir.name" . }}
{{- end -}}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: xds-relay
{{- end -}}

{{- define "weir.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* `weir drain`, as it is typed in the container. */}}
{{- define "weir.drain" -}}
weir drain --admin {{ ternary "https" "http" .Values.adminTLS }}://localhost:9901
{{- if .Values.adminTLS }} --ca /etc/weir/tls/ca.crt{{ end }}
{{- if .Values.adminSecret }} --token-file /etc/weir/admin/tokens{{ end }}
{{- end -}}
