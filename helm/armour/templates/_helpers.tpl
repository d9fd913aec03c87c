{{- define "armour.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "armour.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "armour.labels" -}}
{{ include "armour.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "armour.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "armour.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "armour.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Secret and key of the database's URL for the role that serves. */ -}}
{{- define "armour.databaseSecret" -}}
name: {{ required "database.existingSecret: name a Secret with the database's URL for the role that serves" .Values.database.existingSecret }}
key: {{ .Values.database.key }}
{{- end }}

{{- /* And for the role that owns it: yours, or the operator's. */ -}}
{{- define "armour.ownerSecret" -}}
{{- if .Values.cloudnativepg.enabled -}}
name: {{ include "armour.name" . }}-db-app
key: uri
{{- else -}}
name: {{ required "migrations.existingSecret: name a Secret with the database's URL for the role that owns it (docs/kubernetes.md, Database roles), or enable cloudnativepg" .Values.migrations.existingSecret }}
key: {{ .Values.migrations.key }}
{{- end -}}
{{- end }}

{{- define "armour.host" -}}
{{- $url := urlParse .Values.publicUrl -}}
{{- regexReplaceAll ":[0-9]+$" $url.host "" -}}
{{- end }}

{{- /* The Service's names, at which agents in the cluster reach it, and what is added. */ -}}
{{- define "armour.additionalUrls" -}}
{{- $name := include "armour.name" . -}}
{{- $port := int .Values.service.port -}}
{{- $urls := list -}}
{{- range list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) -}}
{{- $urls = append $urls (printf "http://%s:%d" . $port) -}}
{{- end -}}
{{- join "," (concat $urls .Values.additionalUrls) -}}
{{- end }}

{{- define "armour.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "armour.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* What both the service and the migrations are started with. */ -}}
{{- define "armour.env" -}}
- name: ARMOUR_DATABASE_URL
  valueFrom:
    secretKeyRef:
      {{- include "armour.databaseSecret" . | nindent 6 }}
- name: ARMOUR_DATABASE_WAIT
  value: {{ .Values.database.waitSeconds | quote }}
- name: ARMOUR_LOG
  value: {{ .Values.logLevel | quote }}
- name: ARMOUR_LOG_FORMAT
  value: {{ .Values.telemetry.logFormat }}
{{- with .Values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $.Values.telemetry.traceRatio | quote }}
{{- end }}
{{- end }}

{{- /* Where probes ask: apart from calls, so that no flood of them holds one up. */ -}}
{{- define "armour.probePort" -}}
{{- ternary "metrics" "http" .Values.metrics.enabled -}}
{{- end }}
