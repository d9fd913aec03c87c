import { Button, Progress, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { useAuth } from "../../api/AuthContext";
import { type Api, unwrapStream } from "../../api/client";
import { ErrorAlert } from "../../components/ErrorAlert";
import { saveFile } from "../../lib/saveFile";
import { t } from "../../lib/strings";

interface ExportProgress {
  done: number;
  all: number;
}

const NEWLINE = 10;

/** Saves the whole log as a file, and shows the progress. */
export function ExportButton() {
  const { api } = useAuth();
  const [progress, setProgress] = useState<ExportProgress>();
  const run = useMutation({
    mutationFn: async () => saveFile("audit.ndjson", await exportLog(api, setProgress)),
    onSettled: () => setProgress(undefined),
  });
  return (
    <>
      {progress && (
        <div role="status">
          <Text size="sm">{t.audit.exporting(progress.done, progress.all)}</Text>
          <Progress
            value={(100 * progress.done) / Math.max(progress.all, 1)}
            aria-label={t.export}
          />
        </div>
      )}
      <ErrorAlert error={run.error} />
      <Button variant="default" size="xs" loading={run.isPending} onClick={() => run.mutate()}>
        {t.export}
      </Button>
    </>
  );
}

/** Reads the log's entries as lines of JSON; counts the lines to report progress. */
async function exportLog(api: Api, onProgress: (progress: ExportProgress) => void): Promise<Blob> {
  const { stream, headers } = await unwrapStream(
    api.GET("/v1/audit/export", { parseAs: "stream" }),
  );
  const all = Number(headers.get("x-armour-entries") ?? 0);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const reader = stream.getReader();
  let lines = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    chunks.push(value);
    lines += value.reduce((count, byte) => count + (byte === NEWLINE ? 1 : 0), 0);
    onProgress({ done: Math.min(lines, all), all });
  }
  return new Blob(chunks, { type: "application/x-ndjson" });
}
