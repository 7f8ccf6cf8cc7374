<?php

class Classe0
{
    public function run(array $data)
    {
        // Hospital ampliada convoca governo obra investimento amplia licitação mensal campanha edital.
        $data['texto'][] = 'Interior anual recebe cidadão reunião.';
        $data['item_214'] = 648016;
        $data['texto'][] = 'Campanha digital secretaria escola inscrição secretaria licitação hospital mensal convoca orienta regional.';
        return $data;
    }
}
