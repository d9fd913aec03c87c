{{- define "armour-agent.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "armour-agent.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "armour-agent.labels" -}}
{{ include "armour-agent.selector" . }}
app.kubernetes.io/component: {{ .Values.role }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "armour-agent.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "armour-agent.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "armour-agent.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* An init container that starts before the application and ends after it. */ -}}
{{- define "armour-agent.sidecar" -}}
- name: armour-agent
  image: {{ include "armour-agent.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [{{ .Values.role }}]
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    seccompProfile: { type: RuntimeDefault }
    capabilities:
      drop: [ALL]
  env:
    - name: ARMOUR_CONTROL_PLANE
      value: {{ .Values.controlPlane | quote }}
    - name: ARMOUR_AGENT_DATA_DIR
      value: /var/lib/armour
    - name: ARMOUR_TENANT
      value: {{ .Values.tenant | quote }}
    - name: ARMOUR_AGENT_NAME
      {{- if .Values.name }}
      value: {{ .Values.name | quote }}
      {{- else }}
      valueFrom: { fieldRef: { fieldPath: metadata.name } }
      {{- end }}
    {{- with .Values.logKey }}
    - name: ARMOUR_LOG_KEY
      value: {{ . | quote }}
    {{- end }}
    - name: ARMOUR_ENCLAVE_HARDENING
      value: {{ .Values.enclaveHardening }}
    {{- if .Values.readyWithLease }}
    - name: ARMOUR_AGENT_READY_WITH_LEASE
      value: "true"
    {{- end }}
    - name: ARMOUR_ZONE
      {{- if .Values.zone }}
      value: {{ .Values.zone | quote }}
      {{- else }}
      # Empty where the cluster does not label pods with their node's zone.
      valueFrom: { fieldRef: { fieldPath: "metadata.labels['topology.kubernetes.io/zone']" } }
      {{- end }}
    {{- if .Values.refuseRestoredLog }}
    - name: ARMOUR_REFUSE_RESTORED_LOG
      value: "true"
    {{- end }}
    - name: ARMOUR_AGENT_HEALTH_LISTEN
      value: {{ printf "0.0.0.0:%d" (int .Values.healthPort) }}
    - name: ARMOUR_LOG
      value: {{ .Values.logLevel | quote }}
    {{- if .Values.tls.secret }}
    - name: ARMOUR_TLS_CERT_FILE
      value: /var/run/secrets/armour-tls/tls.crt
    - name: ARMOUR_TLS_KEY_FILE
      value: /var/run/secrets/armour-tls/tls.key
    {{- end }}
    {{- if .Values.tls.caSecret }}
    - name: ARMOUR_TLS_CA_FILE
      value: /var/run/secrets/armour-ca/{{ .Values.tls.caKey }}
    {{- end }}
    - name: ARMOUR_LOG_FORMAT
      value: {{ .Values.telemetry.logFormat }}
    {{- with .Values.telemetry.otlpEndpoint }}
    - name: OTEL_EXPORTER_OTLP_ENDPOINT
      value: {{ . | quote }}
    - name: OTEL_TRACES_SAMPLER_ARG
      value: {{ $.Values.telemetry.traceRatio | quote }}
    {{- end }}
    {{- if ne .Values.accessLog.target "off" }}
    - name: ARMOUR_ACCESS_LOG
      value: {{ .Values.accessLog.target | quote }}
    - name: ARMOUR_ACCESS_LOG_SAMPLE
      value: {{ .Values.accessLog.sample | quote }}
    {{- with .Values.accessLog.fields }}
    - name: ARMOUR_ACCESS_LOG_FIELDS
      value: {{ join "," . | quote }}
    {{- end }}
    {{- end }}
    {{- with .Values.proxy.url }}
    - name: HTTPS_PROXY
      value: {{ . | quote }}
    - name: NO_PROXY
      value: {{ $.Values.proxy.noProxy | quote }}
    {{- end }}
    {{- if .Values.identity.enrolmentSecret }}
    - name: ARMOUR_ENROL_TOKEN_FILE
      value: /var/run/secrets/armour/enrolment
    {{- else }}
    - name: ARMOUR_ENROL_IDENTITY_FILE
      value: /var/run/secrets/armour/identity
    {{- end }}
    {{- if eq .Values.role "producer" }}
    - name: ARMOUR_AGENT_LISTEN
      value: {{ printf "0.0.0.0:%d" (int .Values.producer.port) }}
    {{- if .Values.producer.address }}
    - name: ARMOUR_AGENT_ADDRESS
      value: {{ .Values.producer.address | quote }}
    {{- else }}
    # A bundle is between two agents, so each has an address of its own.
    - name: POD_IP
      valueFrom: { fieldRef: { fieldPath: status.podIP } }
    - name: ARMOUR_AGENT_ADDRESS
      value: {{ ternary "https" "http" (ne .Values.tls.secret "") }}://$(POD_IP):{{ .Values.producer.port }}
    {{- end }}
    - name: ARMOUR_AGENT_UPSTREAM
      value: {{ printf "http://127.0.0.1:%d" (int .Values.producer.upstreamPort) }}
    - name: ARMOUR_AGENT_UPSTREAM_TIMEOUT
      value: {{ .Values.producer.upstreamTimeoutSeconds | quote }}
    - name: ARMOUR_AGENT_UPSTREAM_CHECK
      value: {{ .Values.producer.upstreamCheck | quote }}
    {{- if .Values.producer.upstreamLimit }}
    - name: ARMOUR_AGENT_UPSTREAM_LIMIT
      value: {{ int .Values.producer.upstreamLimit | quote }}
    {{- end }}
    {{- if .Values.producer.permissive }}
    - name: ARMOUR_AGENT_PERMISSIVE
      value: "true"
    {{- end }}
    - name: ARMOUR_AGENT_DRAIN_FOR
      value: {{ int .Values.producer.drainForSeconds | quote }}
    - name: ARMOUR_AGENT_READY_AFTER
      value: {{ int .Values.producer.readyAfterSeconds | quote }}
    {{- else }}
    - name: ARMOUR_AGENT_LISTEN
      value: {{ printf "127.0.0.1:%d" (int .Values.consumer.port) }}
    - name: ARMOUR_AGENT_RETRY_FOR
      value: {{ .Values.consumer.retryFor | quote }}
    {{- with .Values.pair }}
    - name: ARMOUR_AGENT_PAIR
      value: {{ . | quote }}
    {{- end }}
    {{- end }}
  ports:
    - name: armour-health
      containerPort: {{ .Values.healthPort }}
    {{- if eq .Values.role "producer" }}
    - name: armour
      containerPort: {{ .Values.producer.port }}
    {{- end }}
  {{- if eq .Values.role "producer" }}
  lifecycle:
    preStop:
      # At the same time as the application's: SIGTERM comes only once that has ended.
      exec: { command: [/usr/bin/armour-agent, drain] }
  {{- end }}
  startupProbe:
    {{- if .Values.holdApplication }}
    # The application starts once its agent has enrolled, however long that takes: an agent that
    # is started again is no nearer to it.
    httpGet: { path: /started, port: armour-health }
    periodSeconds: 1
    failureThreshold: 86400
    {{- else }}
    httpGet: { path: /live, port: armour-health }
    periodSeconds: 1
    failureThreshold: 120
    {{- end }}
  livenessProbe:
    httpGet: { path: /live, port: armour-health }
    periodSeconds: 10
  readinessProbe:
    httpGet: { path: /ready, port: armour-health }
    periodSeconds: 2
    failureThreshold: 2
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  volumeMounts:
    - name: armour-data
      mountPath: /var/lib/armour
    - name: armour-identity
      mountPath: /var/run/secrets/armour
      readOnly: true
    {{- if .Values.tls.secret }}
    - name: armour-tls
      mountPath: /var/run/secrets/armour-tls
      readOnly: true
    {{- end }}
    {{- if .Values.tls.caSecret }}
    - name: armour-ca
      mountPath: /var/run/secrets/armour-ca
      readOnly: true
    {{- end }}
{{- end }}

{{- /* The application's containers. A producer's serve on while its agent drains. */ -}}
{{- define "armour-agent.containers" -}}
{{- $sleep := int .Values.producer.preStopSleepSeconds -}}
{{- $sleeps := and (eq .Values.role "producer") (gt $sleep 0) (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $containers := list -}}
{{- range .Values.workload.containers -}}
{{- $container := deepCopy . -}}
{{- $lifecycle := deepCopy (default dict .lifecycle) -}}
{{- if and $sleeps (not (hasKey $lifecycle "preStop")) -}}
{{- $_ := set $lifecycle "preStop" (dict "sleep" (dict "seconds" $sleep)) -}}
{{- $_ := set $container "lifecycle" $lifecycle -}}
{{- end -}}
{{- $containers = append $containers $container -}}
{{- end -}}
{{- toYaml $containers -}}
{{- end }}

{{- define "armour-agent.volumes" -}}
# In memory, and gone with the pod: so is the endpoint.
- name: armour-data
  emptyDir: { medium: Memory, sizeLimit: 16Mi }
{{- if .Values.tls.secret }}
- name: armour-tls
  secret:
    secretName: {{ .Values.tls.secret }}
    defaultMode: 0440
{{- end }}
{{- if .Values.tls.caSecret }}
- name: armour-ca
  secret:
    secretName: {{ .Values.tls.caSecret }}
    defaultMode: 0440
{{- end }}
- name: armour-identity
  {{- if .Values.identity.enrolmentSecret }}
  secret:
    secretName: {{ .Values.identity.enrolmentSecret }}
    defaultMode: 0440
    items:
      - key: {{ .Values.identity.enrolmentKey }}
        path: enrolment
  {{- else }}
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: identity
          audience: {{ .Values.identity.audience }}
          expirationSeconds: 3600
  {{- end }}
{{- end }}
