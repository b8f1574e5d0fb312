{{/* Names follow the chart of nfs-subdir-external-provisioner, whose releases can be taken over. */}}
{{- define "nfs-provisioner.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "nfs-provisioner.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A name for what has no namespace. Namespaces hold no dot, so no other release gets the same one. */}}
{{- define "nfs-provisioner.clusterName" -}}
{{- printf "%s.%s" (include "nfs-provisioner.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "nfs-provisioner.serviceAccountName" -}}
{{- $usual := ternary (include "nfs-provisioner.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $usual -}}
{{- end -}}

{{- define "nfs-provisioner.provisionerName" -}}
{{- .Values.storageClass.provisionerName | default (printf "cluster.local/%s" (include "nfs-provisioner.fullname" .)) -}}
{{- end -}}

{{- define "nfs-provisioner.selectorLabels" -}}
{{ dict "app" (include "nfs-provisioner.name" .) "release" .Release.Name | toYaml }}
{{- end -}}

{{/* One mapping: a label that is named twice would be no YAML. The selector's always win. */}}
{{- define "nfs-provisioner.labels" -}}
{{- $usual := dict
      "app.kubernetes.io/name" (include "nfs-provisioner.name" .)
      "app.kubernetes.io/instance" .Release.Name
      "app.kubernetes.io/version" .Chart.AppVersion
      "app.kubernetes.io/managed-by" .Release.Service
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $selector := include "nfs-provisioner.selectorLabels" . | fromYaml -}}
{{ mergeOverwrite $usual (deepCopy (.Values.labels | default dict)) $selector | toYaml }}
{{- end -}}

{{/* Without the versions: a new chart alone is no reason for new pods. */}}
{{- define "nfs-provisioner.podLabels" -}}
{{- $usual := dict
      "app.kubernetes.io/name" (include "nfs-provisioner.name" .)
      "app.kubernetes.io/instance" .Release.Name -}}
{{- $selector := include "nfs-provisioner.selectorLabels" . | fromYaml -}}
{{- $own := deepCopy (.Values.podLabels | default dict) -}}
{{ mergeOverwrite $usual (deepCopy (.Values.labels | default dict)) $own $selector | toYaml }}
{{- end -}}

{{- define "nfs-provisioner.podSecurityContext" -}}
{{- $usual := dict "runAsUser" 0 "runAsGroup" 0 -}}
{{- if eq .Values.backend "direct" -}}
{{- $usual = dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 -}}
{{- end -}}
{{- $_ := set $usual "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{ mergeOverwrite $usual (deepCopy (.Values.podSecurityContext | default dict)) | toYaml }}
{{- end -}}

{{- define "nfs-provisioner.securityContext" -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- if ne .Values.backend "direct" -}}
{{- /* What root needs on a mounted export where the node and not the server looks at it. */ -}}
{{- $_ := set $capabilities "add" (list "CHOWN" "DAC_OVERRIDE" "FOWNER") -}}
{{- end -}}
{{- $usual := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" $capabilities -}}
{{ mergeOverwrite $usual (deepCopy (.Values.securityContext | default dict)) | toYaml }}
{{- end -}}

{{/* The parameters of the class. Changing one byte of them would make an upgrade fail. */}}
{{- define "nfs-provisioner.classParameters" -}}
{{- with .Values.storageClass -}}
{{- $parameters := dict "archiveOnDelete" (toString .archiveOnDelete) -}}
{{- with .onDelete }}{{ $_ := set $parameters "onDelete" . }}{{ end -}}
{{- with .pathPattern }}{{ $_ := set $parameters "pathPattern" . }}{{ end -}}
{{ mergeOverwrite (deepCopy (.parameters | default dict)) $parameters | toYaml }}
{{- end -}}
{{- end -}}

{{/* Whether the export is mounted through a static volume and claim. */}}
{{- define "nfs-provisioner.staticVolume" -}}
{{- if and (eq .Values.backend "mount") .Values.nfs.mountOptions (not .Values.buildMode) }}yes{{ end -}}
{{- end -}}
