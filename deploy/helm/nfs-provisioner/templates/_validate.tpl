{{/* Templates are rendered in no order to rely on, so each of them asks this first. */}}
{{- define "nfs-provisioner.complete" -}}
{{- range list "backend" "direct" "http" "image" "leaderElection" "log" "metrics" "nfs" "storageClass" -}}
{{- if not (hasKey $.Values .) -}}
{{- fail (printf "the values lack %q: with `helm upgrade` use --reset-then-reuse-values; --reuse-values leaves out what is new in this chart" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a schema cannot say. */}}
{{- define "nfs-provisioner.validate" -}}
{{- if not .Values.nfs.server -}}
{{- fail "nfs.server is required: the name or address of the NFS server, as the nodes reach it" -}}
{{- end -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) -}}
{{- fail "replicaCount is above 1 and leaderElection.enabled is false: the replicas would work against each other; set one of the two back" -}}
{{- end -}}
{{- if contains "nfs-subdir-external-provisioner" .Values.image.repository -}}
{{- fail (printf "image.repository is %q, the image of the older provisioner: take image.repository and image.tag out of the values; with `helm upgrade` use --reset-then-reuse-values, not --reuse-values" .Values.image.repository) -}}
{{- end -}}
{{- if and .Values.buildMode (eq .Values.backend "direct") -}}
{{- fail "buildMode is for the backend mount: the backend direct mounts nothing that could be replaced by an empty directory" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.http.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs http.enabled: there would be nothing to scrape" -}}
{{- end -}}
{{- range $key := list "archiveOnDelete" "onDelete" "pathPattern" -}}
{{- if hasKey ($.Values.storageClass.parameters | default dict) $key -}}
{{- fail (printf "storageClass.parameters.%s: give it as storageClass.%s" $key $key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.storageClass.create -}}
{{- include "nfs-provisioner.validateClasses" . -}}
{{- end -}}
{{- end -}}

{{/* What the cluster has. Empty with `helm template` and `helm lint`, which ask no cluster. */}}
{{- define "nfs-provisioner.validateClasses" -}}
{{- $name := include "nfs-provisioner.provisionerName" . -}}
{{- $class := .Values.storageClass -}}
{{- with lookup "storage.k8s.io/v1" "StorageClass" "" $class.name -}}
{{- if ne .provisioner $name -}}
{{- fail (printf "class %q names the provisioner %q, this release would be %q: volumes of the class would be nobody's. Set storageClass.provisionerName to %q, or storageClass.name to a class of its own" $class.name .provisioner $name .provisioner) -}}
{{- end -}}
{{- $wanted := include "nfs-provisioner.classParameters" $ | fromYaml -}}
{{- $advice := printf "A class cannot be changed; take a new storageClass.name, or delete the class first (its volumes stay as they are): kubectl delete storageclass %s" $class.name -}}
{{- if ne (toJson (.parameters | default dict)) (toJson $wanted) -}}
{{- fail (printf "class %q has the parameters %s, the values give %s. %s" $class.name (toJson .parameters) (toJson $wanted) $advice) -}}
{{- end -}}
{{- if ne (.reclaimPolicy | default "Delete") $class.reclaimPolicy -}}
{{- fail (printf "class %q has the reclaim policy %s, the values give %s. %s" $class.name .reclaimPolicy $class.reclaimPolicy $advice) -}}
{{- end -}}
{{- if ne (.volumeBindingMode | default "Immediate") $class.volumeBindingMode -}}
{{- fail (printf "class %q has the binding mode %s, the values give %s. %s" $class.name .volumeBindingMode $class.volumeBindingMode $advice) -}}
{{- end -}}
{{- end -}}
{{- /* The same release name in two namespaces gives the same generated name. */ -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- $notes := .metadata.annotations | default dict -}}
{{- $release := get $notes "meta.helm.sh/release-name" -}}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" -}}
{{- if and (eq .provisioner $name) $release (or (ne $release $.Release.Name) (ne $namespace $.Release.Namespace)) -}}
{{- fail (printf "the provisioner name %q is taken by release %q in namespace %q (class %q): both would serve its claims. Set storageClass.provisionerName" $name $release $namespace .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
