import { Stack, Tabs } from "@mantine/core";

import { useAuth } from "../../api/AuthContext";
import { PageHeader } from "../../components/PageHeader";
import { t } from "../../lib/strings";
import { ApiTokensTab } from "./ApiTokensTab";
import { IssuersTab } from "./IssuersTab";
import { SessionsTab } from "./SessionsTab";
import { WebhooksTab } from "./WebhooksTab";

export function AccessPage() {
  const { whoami } = useAuth();
  // An operator may see only their own sessions.
  const seesAll = whoami.role !== "operator";
  return (
    <Stack>
      <PageHeader title={t.pages.access} />
      <Tabs defaultValue="sessions" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="sessions">{t.access.sessions}</Tabs.Tab>
          {seesAll && <Tabs.Tab value="tokens">{t.access.tokens}</Tabs.Tab>}
          {seesAll && <Tabs.Tab value="issuers">{t.access.issuers}</Tabs.Tab>}
          {seesAll && <Tabs.Tab value="webhooks">{t.access.webhooks}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="sessions" pt="md">
          <SessionsTab />
        </Tabs.Panel>
        <Tabs.Panel value="tokens" pt="md">
          <ApiTokensTab />
        </Tabs.Panel>
        <Tabs.Panel value="issuers" pt="md">
          <IssuersTab />
        </Tabs.Panel>
        <Tabs.Panel value="webhooks" pt="md">
          <WebhooksTab />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}
