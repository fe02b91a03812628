{{/* The chart's name, shortened to what a label can hold. */}}
{{- define "tunebird.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The name of every object. 50 characters leave room for suffixes. A release whose name begins with a digit gets a
letter first: the name of a Service must begin with one. */}}
{{- define "tunebird.fullname" -}}
{{- $name := include "tunebird.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- $chosen := default $full .Values.fullnameOverride }}
{{- ternary $chosen (printf "r%s" $chosen) (regexMatch "^[a-z]" $chosen) | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* The chart and its version, as a label. */}}
{{- define "tunebird.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "tunebird.labels" -}}
helm.sh/chart: {{ include "tunebird.chart" . | quote }}
{{ include "tunebird.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end }}

{{/* Labels by which the Deployment finds its pods. They can never change, so nothing else belongs here. */}}
{{- define "tunebird.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tunebird.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The service account's name. */}}
{{- define "tunebird.serviceAccountName" -}}
{{- default (ternary (include "tunebird.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* The operator's image. */}}
{{- define "tunebird.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Where trainers report. */}}
{{- define "tunebird.reportUrl" -}}
{{- default (printf "http://%s.%s:8082" (include "tunebird.fullname" .) .Release.Namespace) .Values.reports.url }}
{{- end }}
