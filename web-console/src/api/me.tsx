import { createContext, useContext } from "react";

import type { SignedIn } from "./auth";

const Me = createContext<SignedIn | undefined>(undefined);

export const MeProvider = Me.Provider;

/** Who is signed in; only below the frame, where somebody is. */
export function useMe(): SignedIn {
  const me = useContext(Me);
  if (me === undefined) {
    throw new Error("nobody is signed in");
  }
  return me;
}

/** Whether the role may run pairs and endpoints. */
export function mayOperate(me: SignedIn): boolean {
  return me.who.role === "operator" || me.who.role === "tenant-admin";
}

/** Whether the role decides who may do what. */
export function mayAdminister(me: SignedIn): boolean {
  return me.who.role === "tenant-admin";
}
