// Checks objects of operators' kinds against their schemas, and alerts' and panels'
// expressions against PromQL's grammar. Reads a JSON list from standard input: objects,
// and strings that are expressions. Prints what is wrong, a line each.
import { parser } from "@prometheus-io/lezer-promql";

const KINDS = {
  "gateway.networking.k8s.io/v1": () =>
    import("@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1"),
  "monitoring.coreos.com/v1": () =>
    import("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"),
  "postgresql.cnpg.io/v1": () =>
    import("@kubernetes-models/cloudnative-pg/postgresql.cnpg.io/v1"),
};

let text = "";
for await (const chunk of process.stdin) {
  text += chunk;
}
for (const item of JSON.parse(text)) {
  if (typeof item === "string") {
    parser.parse(item).iterate({
      enter(node) {
        if (node.type.isError) {
          console.log(`not PromQL at ${node.from}: ${item}`);
        }
      },
    });
    continue;
  }
  const models = await KINDS[item.apiVersion]?.();
  const Kind = models?.[item.kind];
  if (Kind === undefined) {
    console.log(`no schema of ${item.apiVersion} ${item.kind}`);
    continue;
  }
  try {
    new Kind(item).validate();
  } catch (error) {
    console.log(`${item.kind} ${item.metadata?.name}: ${error.message}`);
  }
}
