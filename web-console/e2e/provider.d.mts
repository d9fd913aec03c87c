export function startProvider(options: {
  port: number;
  clientId: string;
  clientSecret: string;
  console: string;
  callback: string;
  backChannel: string;
}): Promise<{ url: string; stop: () => Promise<void> }>;
