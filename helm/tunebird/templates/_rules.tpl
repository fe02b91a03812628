{{/* What the operator does in a namespace it watches; exactly that, a test compares it with the code. */}}
{{- define "tunebird.rules" -}}
- apiGroups: [tunebird.dev]
  resources: [finetunejobs, modelrollouts]
  verbs: [get, list, watch, patch]  # patch: the finalizer
- apiGroups: [tunebird.dev]
  resources: [finetunejobs/status, modelrollouts/status]
  verbs: [update]
- apiGroups: [tunebird.dev]
  resources: [finetunejobs/finalizers, modelrollouts/finalizers]
  verbs: [update]  # children block the deletion of their owner
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
{{- if .Values.rbac.readSecrets }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]  # credentials of metrics providers, by name
{{- end }}
{{- end }}

{{/* What it does in the whole cluster in either case. */}}
{{- define "tunebird.clusterRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]  # who reports progress
{{- end }}
