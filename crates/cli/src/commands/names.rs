//! Names in place of ids: people may write a name where one alone has it, and tables show names.

use std::{collections::HashMap, convert::Infallible, str::FromStr};

use anyhow::bail;
use armour_api::{Page, Role};
use armour_client::{Call, Client};
use serde_json::Value;
use uuid::Uuid;

/// An id, or a name that one alone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameOrId(String);

impl FromStr for NameOrId {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl NameOrId {
    /// The id of a pair, whose name is that of its consumer and of its producer with a colon
    /// between.
    ///
    /// # Errors
    /// If none has the name or several have it.
    pub async fn pair(&self, client: &Client) -> anyhow::Result<Uuid> {
        match self.id() {
            Some(id) => Ok(id),
            None => self.choose("pair", "pairs", &client.pairs().every_raw().await?),
        }
    }

    /// The id of a producer or a consumer, as [`Self::pair`].
    pub async fn party(&self, client: &Client, role: Role) -> anyhow::Result<Uuid> {
        let (one, many) = match role {
            Role::Consumer => ("consumer", "consumers"),
            Role::Producer => ("producer", "producers"),
        };
        self.paged(one, many, client.parties(role)).await
    }

    /// The id of an endpoint, as [`Self::pair`].
    pub async fn endpoint(&self, client: &Client) -> anyhow::Result<Uuid> {
        self.paged("endpoint", "endpoints", client.endpoints())
            .await
    }

    /// The id of an issuer, as [`Self::pair`].
    pub async fn issuer(&self, client: &Client) -> anyhow::Result<Uuid> {
        match self.id() {
            Some(id) => Ok(id),
            None => {
                let all = client.issuers().raw().await?;
                let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
                self.choose("issuer", "issuers", all)
            }
        }
    }

    async fn paged<T>(
        &self,
        one: &str,
        many: &str,
        all: Call<'_, Page<T>>,
    ) -> anyhow::Result<Uuid> {
        match self.id() {
            Some(id) => Ok(id),
            None => self.choose(one, many, &all.every_raw().await?),
        }
    }

    fn id(&self) -> Option<Uuid> {
        Uuid::try_parse(&self.0).ok()
    }

    fn choose(&self, one: &str, many: &str, all: &[Value]) -> anyhow::Result<Uuid> {
        let named = all.iter().filter(|item| name_of(item) == self.0);
        let ids: Vec<Uuid> = named
            .filter_map(|item| Uuid::try_parse(item["id"].as_str()?).ok())
            .collect();
        match &ids[..] {
            [id] => Ok(*id),
            [] => bail!(
                "no {one} has the name or id {:?}; `armour {many} list` shows them",
                self.0
            ),
            several => {
                let ids: Vec<String> = several.iter().map(Uuid::to_string).collect();
                bail!(
                    "{} {many} have the name {:?}; give the id of one: {}",
                    several.len(),
                    self.0,
                    ids.join(", ")
                )
            }
        }
    }
}

/// What ids in a table are of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named {
    /// Producers and consumers.
    Parties,
    /// Endpoints.
    Endpoints,
    /// Pairs.
    Pairs,
}

impl Named {
    /// All names by id. Ids that cannot be asked about stay ids.
    async fn all(self, client: &Client) -> HashMap<String, String> {
        let items = match self {
            Self::Parties => {
                let mut both = Vec::new();
                for role in [Role::Consumer, Role::Producer] {
                    let some = client.parties(role).every_raw().await;
                    both.extend(some.unwrap_or_default());
                }
                both
            }
            Self::Endpoints => client.endpoints().every_raw().await.unwrap_or_default(),
            Self::Pairs => client.pairs().every_raw().await.unwrap_or_default(),
        };
        let named = items.iter().filter_map(|item| {
            let id = item["id"].as_str()?;
            Some((id.to_owned(), name_of(item)))
        });
        named.collect()
    }
}

/// Puts names in place of ids: of each of these the one that stands in `<column>_id`, as
/// `<column>`.
pub(super) async fn name(client: &Client, items: &mut [Value], columns: &[(&str, Named)]) {
    if items.is_empty() {
        return;
    }
    for (column, named) in columns {
        let names = named.all(client).await;
        for item in items.iter_mut() {
            let id = item[format!("{column}_id")].take();
            let known = id.as_str().and_then(|id| names.get(id));
            item[*column] = known.map_or(id.clone(), |name| Value::String(name.clone()));
        }
    }
}

fn name_of(item: &Value) -> String {
    let text = |field: &str| item[field].as_str().unwrap_or_default();
    match item["name"].as_str() {
        Some(name) => name.to_owned(),
        None => format!("{}:{}", text("consumer_name"), text("producer_name")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_taken_where_one_alone_has_them() {
        let [shop, stock, other] = [1, 2, 3].map(Uuid::from_u128);
        let all = [
            json!({ "id": shop, "name": "shop" }),
            json!({ "id": stock, "name": "stock" }),
            json!({ "id": other, "name": "stock" }),
            json!({ "id": other, "consumer_name": "shop", "producer_name": "stock" }),
        ];
        let choose = |text: &str| {
            let given: NameOrId = text.parse().unwrap();
            given
                .choose("endpoint", "endpoints", &all)
                .map_err(|error| error.to_string())
        };
        assert_eq!(choose("shop"), Ok(shop));
        assert_eq!(choose("shop:stock"), Ok(other));
        let several = choose("stock").unwrap_err();
        assert!(several.contains(&format!("{stock}, {other}")), "{several}");
        let none = choose("shap").unwrap_err();
        assert!(none.contains("armour endpoints list"), "{none}");
        assert_eq!(NameOrId(stock.to_string()).id(), Some(stock));
    }
}
