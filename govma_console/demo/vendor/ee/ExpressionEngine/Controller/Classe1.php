<?php

class Classe1
{
    public function run(array $data)
    {
        $data['item_183'] = 36403;
        $data['texto'][] = 'Orienta mensal publica nova publica cidadão.';
        $data['item_15'] = 102665;
        $data['texto'][] = 'Mensal convoca orienta interior escola.';
        $data['item_204'] = 866396;
        $data['texto'][] = 'Regional gratuita anual estado programa região inscrição.';
        $data['texto'][] = 'Entrega campanha realiza prorroga pública ampliada anual.';
        $data['item_325'] = 2340;
        $data['texto'][] = 'Município pública lança abertura digital cidadão.';
        $data['item_270'] = 482813;
        // Prorroga interior edital matrícula regional.
        return $data;
    }
}
