import { createContext, useContext } from "react";

import type { Auth } from "./credentials";

const AuthContext = createContext<Auth | undefined>(undefined);

export const AuthProvider = AuthContext.Provider;

/** Who is signed in. Only for components below `AuthProvider`. */
export function useAuth(): Auth {
  const auth = useContext(AuthContext);
  if (auth === undefined) {
    throw new Error("nobody is signed in");
  }
  return auth;
}

/** Whether the role may manage pairs and endpoints. */
export function canOperate(auth: Auth): boolean {
  return auth.whoami.role === "operator" || auth.whoami.role === "tenant-admin";
}

/** Whether the role may manage access. */
export function canAdminister(auth: Auth): boolean {
  return auth.whoami.role === "tenant-admin";
}
