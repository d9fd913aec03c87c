//! A call that has not been made yet.

use std::{borrow::Cow, marker::PhantomData};

use armour_api::Page;
use futures::future::BoxFuture;
use reqwest::{Method, Response};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Client, Result};

/// A call that has not been made yet. Awaited, it gives the answer as `T`. Whoever passes
/// the answer on takes it as it came instead ([`Call::raw`], [`Call::every_raw`]): a newer
/// control plane may say more than `T` has fields for.
#[must_use = "a call is made when it is awaited"]
pub struct Call<'c, T, B = ()> {
    client: &'c Client,
    method: Method,
    path: Cow<'static, str>,
    body: Option<B>,
    answer: PhantomData<fn() -> T>,
}

impl<T, B: Serialize> Call<'_, T, B> {
    /// Makes the call; the answer as it came.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn raw(self) -> Result<Value> {
        Ok(self.send(&self.path).await?.json().await?)
    }

    async fn send(&self, path: &str) -> Result<Response> {
        let method = self.method.clone();
        self.client.send(method, path, self.body.as_ref()).await
    }
}

impl<T> Call<'_, Page<T>> {
    /// The page that a cursor names.
    pub fn page(mut self, cursor: &str) -> Self {
        self.path = self.path_of(cursor).into();
        self
    }

    /// Makes the call; one page with its items as they came.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn page_raw(self) -> Result<Page<Value>> {
        Ok(self.send(&self.path).await?.json().await?)
    }

    /// Makes a call for every page; all items.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn every(self) -> Result<Vec<T>>
    where
        T: DeserializeOwned,
    {
        self.follow().await
    }

    /// Makes a call for every page; all items as they came.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn every_raw(self) -> Result<Vec<Value>> {
        self.follow().await
    }

    async fn follow<I: DeserializeOwned>(self) -> Result<Vec<I>> {
        let mut page: Page<I> = self.send(&self.path).await?.json().await?;
        let mut items = page.items;
        while let Some(cursor) = page.next {
            page = self.send(&self.path_of(&cursor)).await?.json().await?;
            items.append(&mut page.items);
        }
        Ok(items)
    }

    fn path_of(&self, cursor: &str) -> String {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{sign}cursor={cursor}", self.path)
    }
}

impl<'c, T, B> IntoFuture for Call<'c, T, B>
where
    T: DeserializeOwned + 'c,
    B: Serialize + Send + Sync + 'c,
{
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'c, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.send(&self.path).await?.json().await?) })
    }
}

/// The calls that the operator API is made of.
impl Client {
    pub(crate) fn read<T>(&self, path: impl Into<Cow<'static, str>>) -> Call<'_, T> {
        self.call(Method::GET, path, None)
    }

    pub(crate) fn act<T, B>(&self, path: impl Into<Cow<'static, str>>, body: B) -> Call<'_, T, B> {
        self.call(Method::POST, path, Some(body))
    }

    pub(crate) fn replace<T, B>(
        &self,
        path: impl Into<Cow<'static, str>>,
        body: B,
    ) -> Call<'_, T, B> {
        self.call(Method::PUT, path, Some(body))
    }

    fn call<T, B>(
        &self,
        method: Method,
        path: impl Into<Cow<'static, str>>,
        body: Option<B>,
    ) -> Call<'_, T, B> {
        Call {
            client: self,
            method,
            path: path.into(),
            body,
            answer: PhantomData,
        }
    }
}
